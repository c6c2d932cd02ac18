"""README's first minute, word for word: the broker is run, fed, killed and run again by the commands that stand there.

Only the place differs: a port that is free instead of 5672, a directory of the test's own instead of ./ledgermq-data.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile

import pytest

from broker import ENVIRONMENT, ROOT, free_port, given_broker


def blocks(language):
    """README's examples in that language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)


@pytest.fixture
def place(tmp_path):
    """place(text) is a text of README as it must be here; its environment tells every command where the broker is."""
    port, data_dir = free_port(), tmp_path / "data"
    environment = ENVIRONMENT | {
        "LEDGERMQ_DATA_DIR": str(data_dir),
        "LEDGERMQ_LISTEN": f"127.0.0.1:{port}",
        "LEDGERMQ_HTTP_LISTEN": "off",
    }

    def place(text):
        return text.replace("ledgermq-data", str(data_dir)).replace('"127.0.0.1"', f'"127.0.0.1", {port}')

    place.environment, place.log = environment, tmp_path / "log"
    yield place
    lock = data_dir / "LOCK"
    if lock.exists():
        os.kill(int(lock.read_text()), signal.SIGKILL)


def run(place, *command):
    """Runs a command as the reader of README does. A broker that it leaves in the background has its output still."""
    with place.log.open("a") as log, tempfile.TemporaryFile("w+") as out:
        done = subprocess.run(
            command, cwd=ROOT, env=place.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=log, text=True
        )
        out.seek(0)
        said = out.read()
    assert done.returncode == 0, f"{command}: {said}{place.log.read_text()}"
    return said


@pytest.mark.skipif(given_broker() is not None, reason="README is about a broker of one's own")
def test_the_first_minute(place):
    serve, test, recover = blocks("sh")[:3]
    (publish,) = blocks("python")
    assert test.startswith("scripts/test ")
    with place.log.open("a") as log:
        subprocess.Popen(["bash", "-c", place(serve)], cwd=ROOT, env=place.environment, stdout=log, stderr=log)
    run(place, "cargo", "run", "--quiet", "--release", "--", "ctl", "await_startup")

    assert run(place, sys.executable, "-c", place(publish)) == "1000 payments are on disk\n"
    listed = run(place, "bash", "-c", place(recover))
    assert listed.splitlines()[-1].split() == ["payments", "1000"]
    assert re.search(r"ready.*1000 messages|ready.*messages=1000", place.log.read_text())
