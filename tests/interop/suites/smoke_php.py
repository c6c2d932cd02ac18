"""Smoke tests of ours with php-amqplib (Debian's package)."""

from pathlib import Path

SECONDS_MAX = 120
PASSED_MIN = 15
SHORT = True
SMOKE = Path(__file__).resolve().parents[1] / "smoke"


def run(kit):
    kit.debian("php-cli", "php-amqplib")
    return kit.program(["php", "-d", "memory_limit=1G", SMOKE / "smoke.php"])
