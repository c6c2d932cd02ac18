"""A broker for the tests: the given one, or one of our own that may be killed and started again.

LEDGERMQ_PORT (with LEDGERMQ_HOST, LEDGERMQ_CTL) names a running broker; tests that must kill it are then left out.
Else LEDGERMQ_BIN is started on a free port with a temporary store: the binary `ledgermq`, or RabbitMQ's start script,
/usr/lib/rabbitmq/bin/rabbitmq-server, to see how the original behaves.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import pika

sys.path.append(str(Path(__file__).resolve().parents[1] / "support"))
from ports import free_port  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
BINARY = Path(os.environ.get("LEDGERMQ_BIN", TARGET / "debug" / "ledgermq"))
# `ledgermq serve` takes the other LEDGERMQ_ variables for its configuration.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("LEDGERMQ_")}


class Broker:
    """What clients and administrators need of any broker."""

    def __init__(self, host, port, ctl, environment):
        self.host, self.port, self._ctl, self._environment = host, port, ctl, environment

    def ctl(self, *arguments, check=True):
        """Runs an administrator's command; returns what it printed."""
        done = subprocess.run([*self._ctl, *arguments], env=self._environment, capture_output=True, text=True)
        assert done.returncode == 0 or not check, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def parameters(self, vhost="/", user="guest", password="guest", **options):
        credentials = pika.PlainCredentials(user, password)
        return pika.ConnectionParameters(self.host, self.port, vhost, credentials, **options)

    def connect(self, *arguments, **options):
        return pika.BlockingConnection(self.parameters(*arguments, **options))

    def url(self, vhost):
        return f"amqp://guest:guest@{self.host}:{self.port}/{vhost.replace('/', '%2f')}"

    def stop(self):
        """A given broker is not ours to stop."""


class OwnBroker(Broker):
    """One that we start, kill and start again."""

    def __init__(self, *flags, under=(), listen="127.0.0.1", http="off", binary=BINARY, plugins=()):
        """`under` is a command that runs the broker's, such as a tracer; `plugins` are RabbitMQ's."""
        self.under = under
        self._directory = tempfile.TemporaryDirectory(prefix="behaviours-")
        self.data_dir = Path(self._directory.name)
        self.is_rabbitmq = binary.name == "rabbitmq-server"
        port = free_port()
        if self.is_rabbitmq:
            environment = ENVIRONMENT | rabbitmq_environment(self.data_dir, port)
            (self.data_dir / "plugins").write_text(f"[{','.join(plugins)}].\n")
            self._command, self._ready = [binary], "completed with"
            ctl = [binary.with_name("rabbitmqctl")]
        else:
            environment = ENVIRONMENT | {"LEDGERMQ_DATA_DIR": str(self.data_dir)}
            self._command = [binary, "serve", "--listen", f"{listen}:{port}", "--http-listen", http, *flags]
            self._ready = " ready"
            ctl = [binary, "ctl"]
        super().__init__("127.0.0.1", port, ctl, environment)
        self.start()

    def start(self):
        """Returns once it accepts clients."""
        # A session of its own: RabbitMQ is several processes, which are killed as one.
        self.process = subprocess.Popen(
            [*self.under, *self._command], env=self._environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )
        said = []
        for line in self.process.stdout:
            said.append(line)
            if self._ready in line:
                break
        else:
            raise AssertionError("the broker ended before it was ready: " + "".join(said))
        # What it says from now on must go somewhere, or it would wait for us.
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def kill(self):
        """As a crash would end it."""
        with suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def crash_and_restart(self):
        self.kill()
        self.start()

    def stop_and_restart(self):
        """In peace: SIGTERM, which exits 0."""
        self.process.terminate()
        assert self.process.wait() == 0
        self.start()

    def wait_until_prepared(self):
        """Returns once the segments that a broker fills with zeros ahead of need are there."""
        while not self.is_rabbitmq and len(list(self.data_dir.glob("wal/*.seg"))) < 3:
            time.sleep(0.01)

    def written_bytes(self):
        """Bytes that its processes caused to be written to disk."""
        total = 0
        for io in Path("/proc").glob("[0-9]*/io"):
            if os.getsid(int(io.parent.name)) == self.process.pid:
                total += int(re.search(r"^write_bytes: (\d+)", io.read_text(), re.M)[1])
        return total

    def stop(self):
        self.kill()
        self._directory.cleanup()


def rabbitmq_environment(data_dir, port):
    return {
        "HOME": str(data_dir),
        "RABBITMQ_NODENAME": f"behaviours-{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(data_dir),
        "RABBITMQ_LOG_BASE": str(data_dir),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(data_dir / "plugins"),
        "RABBITMQ_CONFIG_FILE": str(data_dir / "none"),
    }


def given_broker():
    """The broker that the environment names, if it does."""
    if "LEDGERMQ_PORT" not in os.environ:
        return None
    ctl = shlex.split(os.environ.get("LEDGERMQ_CTL", f"{BINARY} ctl"))
    return Broker(os.environ.get("LEDGERMQ_HOST", "127.0.0.1"), int(os.environ["LEDGERMQ_PORT"]), ctl, os.environ)
