"""Smoke tests of ours with aio-pika 10.2.1 (Python)."""

from pathlib import Path

SECONDS_MAX = 120
PASSED_MIN = 11
SHORT = True
SMOKE = Path(__file__).resolve().parents[1] / "smoke"


def run(kit):
    python = kit.venv("smoke-aio-pika", ["aio-pika==10.2.1", "pytest", "pytest-asyncio"]) / "python"
    return kit.pytest(python, ["test_aio_pika.py"], SMOKE)
