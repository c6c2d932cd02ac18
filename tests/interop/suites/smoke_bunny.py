"""Smoke tests of ours with bunny (Ruby, Debian's package)."""

from pathlib import Path

SECONDS_MAX = 120
PASSED_MIN = 13
SHORT = True
SMOKE = Path(__file__).resolve().parents[1] / "smoke"


def run(kit):
    kit.debian("ruby", "ruby-bunny")
    return kit.program(["ruby", SMOKE / "smoke.rb"])
