"""Smoke tests of ours with rabbitmq-c (Debian's amqp-tools)."""

from pathlib import Path

SECONDS_MAX = 60
PASSED_MIN = 16
SHORT = True
SMOKE = Path(__file__).resolve().parents[1] / "smoke"


def run(kit):
    kit.debian("amqp-tools")
    return kit.program(["sh", SMOKE / "smoke_amqp_tools.sh"])
