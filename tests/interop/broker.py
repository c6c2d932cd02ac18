#!/usr/bin/env python3
"""The broker that the suites talk to: one of our own in a directory of its own, or one that runs already.

A broker of our own is described by files in its directory, so that a test program in any language can restart it by running
`$INTEROP_RESTART`, which is `broker.py restart DIRECTORY`. Further arguments: `kill` ends it as a crash would, not peacefully;
flags of the broker hold until the next restart, such as `--disk-low-bytes 1024GiB`, which raises the alarm of a low disk.
"""

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 30


class Broker:
    """Where it is, and how an administrator speaks to it."""

    def __init__(self, host, port, ctl=None):
        self.host, self.port, self.ctl = host, port, ctl
        self.product = product(host, port)

    @property
    def is_rabbitmq(self):
        return self.product == "RabbitMQ"

    def url(self, vhost="%2f", user="guest", password="guest"):
        return f"amqp://{user}:{password}@{self.host}:{self.port}/{vhost}"

    def environment(self, directory):
        """What test programs get to know. `directory` is for the link through which they find `rabbitmqctl`."""
        known = {"INTEROP_HOST": self.host, "INTEROP_PORT": str(self.port), "INTEROP_URL": self.url()}
        if self.ctl:
            directory.mkdir(parents=True, exist_ok=True)
            link = directory / "rabbitmqctl"
            link.write_text(f'#!/bin/sh\nexec {shlex.join(self.ctl)} "$@"\n')
            link.chmod(0o755)
            known["PATH"] = f"{directory}:{os.environ['PATH']}"
            known["INTEROP_CTL"] = str(link)
        return known

    def stop(self):
        """A broker that was running before stays."""


class OwnBroker(Broker):
    """Started by us on a free port of the loopback interface, with an empty store."""

    def __init__(self, binary, directory, flags=()):
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        self.directory = directory
        host, port = "127.0.0.1", free_port()
        data = directory / "data"
        self._rabbitmqctl = directory / "rabbitmqctl"
        self._rabbitmqctl.symlink_to(binary)
        command = [str(binary), "serve", "--data-dir", str(data), "--listen", f"{host}:{port}", "--http-listen", "off"]
        (directory / "broker.json").write_text(json.dumps({"command": [*command, *flags], "host": host, "port": port}))
        start(directory)
        super().__init__(host, port, ["env", f"LEDGERMQ_DATA_DIR={data}", str(self._rabbitmqctl)])

    @property
    def is_rabbitmq(self):
        return False

    def environment(self, directory):
        restart = shlex.join([sys.executable, "-B", str(Path(__file__).resolve()), "restart", str(self.directory)])
        return super().environment(directory) | {"INTEROP_RESTART": restart}

    def alive(self):
        return running(pid(self.directory))

    def stop(self):
        stop(self.directory, signal.SIGKILL)
        shutil.rmtree(self.directory / "data", ignore_errors=True)


def start(directory, flags=()):
    """Returns once clients can connect."""
    about = json.loads((directory / "broker.json").read_text())
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LEDGERMQ_")}
    with open(directory / "broker.log", "ab") as log:
        process = subprocess.Popen(
            [*about["command"], *flags], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    (directory / "broker.pid").write_text(str(process.pid))
    give_up = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            product(about["host"], about["port"])
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError("the broker did not start:\n" + (directory / "broker.log").read_text()[-3000:]) from None
            time.sleep(0.02)


def stop(directory, how):
    process = pid(directory)
    if running(process):
        os.kill(process, how)
    give_up = time.monotonic() + STOP_SECONDS_MAX
    while running(process):
        if time.monotonic() > give_up:
            os.kill(process, signal.SIGKILL)
        time.sleep(0.02)


def pid(directory):
    return int((directory / "broker.pid").read_text())


def running(process):
    """Whether it has not ended. A zombie has, unless threads of it are left: one that was killed while it syncs holds the
    lock of the data directory until the disk has answered."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
        return state != "Z" or len(os.listdir(f"/proc/{process}/task")) > 1
    except OSError:
        return False


def product(host, port):
    """The name in the server's properties of connection.start; OSError if no broker answers."""
    with socket.create_connection((host, port), timeout=5) as client:
        client.sendall(b"AMQP\x00\x00\x09\x01")
        said = b""
        while len(said) < 7 or len(said) < 8 + int.from_bytes(said[3:7], "big"):
            more = client.recv(65536)
            if not more:
                raise OSError("the broker closed the connection")
            said += more
    at = said.find(b"\x07productS")
    length = int.from_bytes(said[at + 9 : at + 13], "big")
    return said[at + 13 : at + 13 + length].decode() if at >= 0 else ""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


if __name__ == "__main__":
    if sys.argv[1] != "restart":
        sys.exit(__doc__)
    where = Path(sys.argv[2])
    flags = sys.argv[3:]
    is_crash = flags[:1] == ["kill"]
    stop(where, signal.SIGKILL if is_crash else signal.SIGTERM)
    start(where, flags[is_crash:])
