"""Smoke tests of ours with pika 1.4.4 (Python)."""

from pathlib import Path

SECONDS_MAX = 120
PASSED_MIN = 21
SHORT = True
SMOKE = Path(__file__).resolve().parents[1] / "smoke"


def run(kit):
    python = kit.venv("smoke-pika", ["pika==1.4.4", "pytest"]) / "python"
    return kit.pytest(python, ["test_pika.py"], SMOKE)
