"""What the smoke tests in Python are given: where the broker is, and how to restart it."""

import os
import shlex
import subprocess
import uuid

import pytest

HOST = os.environ["INTEROP_HOST"]
PORT = int(os.environ["INTEROP_PORT"])
URL = os.environ["INTEROP_URL"]

needs_restart = pytest.mark.skipif("INTEROP_RESTART" not in os.environ, reason="a given broker is not restarted")


def restart(*arguments):
    """Returns once the broker accepts clients again."""
    subprocess.run([*shlex.split(os.environ["INTEROP_RESTART"]), *arguments], check=True)


def name(of):
    """A name that no other test and no earlier run has used."""
    return f"{of}-{uuid.uuid4().hex[:8]}"
