"""Brokers to compare: ours and Debian's RabbitMQ, started on empty stores and stopped again, and any that runs already.

Whoever is started here gets ports, a directory and (RabbitMQ) a node name and a port mapper of its own, so that nothing else on
the machine is touched.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests" / "support"))
from ports import free_port  # noqa: E402

RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
START_PATIENCE_S = 180
STOP_PATIENCE_S = 5


def answers(port):
    """Whether something there answers an AMQP client."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"AMQP\0\0\x09\x01")
            return connection.recv(1) != b""
    except OSError:
        return False


class Given:
    """A broker that runs already: not ours to stop, to kill or to empty."""

    can_be_killed = False
    has_certificate = False
    peer = True

    def __init__(self, place):
        name, _, address = place.rpartition("=")
        self.host, _, port = address.rpartition(":")
        self.host, self.port = self.host or "127.0.0.1", int(port)
        self.name = name or address

    def target(self, over_tls=False):
        here = self.host in ("127.0.0.1", "localhost", "::1")
        pid = ["--broker-pid", "auto"] if here else []
        return ["--host", self.host, "--port", str(self.port), *pid]

    def start(self):
        pass

    def stop(self):
        pass


class Started:
    """A broker of our own: `start` makes an empty store, `stop` removes it."""

    can_be_killed = True
    has_certificate = False

    def __init__(self, scratch):
        self.directory = scratch / f"store-{self.name.lower().replace(' ', '-')}-{os.getpid()}"
        self.process = None

    def target(self, over_tls=False):
        return ["--port", str(self.port), "--broker-pid", str(self.process.pid)]

    def start(self):
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        self.port = free_port()
        self.launch()

    def launch(self):
        """Starts it on the store as it is; returns the seconds until it answers."""
        began = time.monotonic()
        with open(self.directory / "output", "ab") as output:
            # A process group of its own, for RabbitMQ is several processes.
            command, environment = self.command()
            self.process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        while not answers(self.port):
            if self.process.poll() is not None or time.monotonic() - began > START_PATIENCE_S:
                said = (self.directory / "output").read_text(errors="replace")[-2000:]
                raise SystemExit(f"{self.name} did not start: {said}")
            time.sleep(0.01)  # a port that opens tells nobody
        return time.monotonic() - began

    def kill(self):
        """As a crash would: no chance to write anything."""
        if self.process:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()
            self.process = None

    def kill_and_start(self):
        self.kill()
        return self.launch()

    def disk_mib(self):
        """What the store takes on disk: blocks, not lengths."""
        files = (path.stat() for path in self.directory.rglob("*") if path.is_file())
        return sum(stat.st_blocks for stat in files) * 512 / 2**20

    def rss_mib(self):
        """Resident memory of all its processes."""
        total_kib = 0
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                if os.getpgid(int(status.parent.name)) == self.process.pid:
                    lines = status.read_text().splitlines()
                    total_kib += sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
            except OSError:
                continue  # it has just ended
        return total_kib / 1024

    def stop(self):
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


class LedgerMq(Started):
    """Ours."""

    name = "LedgerMQ"
    peer = False

    def __init__(self, scratch, binary):
        super().__init__(scratch)
        self.binary = binary

    def start(self):
        self.tls_port = free_port()
        super().start()

    def target(self, over_tls=False):
        if not over_tls:
            return super().target()
        uri = f"amqps://localhost:{self.tls_port}"
        return ["--uri", uri, "--cacert", str(self.directory / "certificate"), "--broker-pid", str(self.process.pid)]

    def command(self):
        store = ["--data-dir", str(self.directory / "data")]
        flags = ["--listen", f"127.0.0.1:{self.port}", "--http-listen", "off"]
        if self.has_certificate:
            certificate, key = self.certificate()
            flags += ["--tls-listen", f"127.0.0.1:{self.tls_port}", "--tls-cert", certificate, "--tls-key", key]
        plain = {name: value for name, value in os.environ.items() if not name.startswith("LEDGERMQ_")}
        return [str(self.binary), "serve", *store, *flags], plain


    @property
    def has_certificate(self):
        return shutil.which("openssl") is not None

    def certificate(self):
        """A certificate that signs itself, and its key: made once for a store."""
        certificate, key = str(self.directory / "certificate"), str(self.directory / "key")
        if not os.path.exists(key):
            names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=CA:FALSE"]
            kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
            subprocess.run(
                ["openssl", "req", "-x509", *kind, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True
            )
        return certificate, key


class RabbitMq(Started):
    """RabbitMQ as Debian installs it, with its defaults."""

    name = "RabbitMQ"
    peer = True

    @staticmethod
    def is_installed():
        return RABBITMQ.exists()

    def start(self):
        self.mapper = free_port()
        super().start()

    def environment(self):
        return os.environ | {
            "HOME": str(self.directory),
            "ERL_EPMD_PORT": str(self.mapper),
            "RABBITMQ_NODENAME": f"ledgermq-bench-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(self.directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.directory / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.directory / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(self.directory / "none"),
        }

    def command(self):
        return [str(RABBITMQ)], self.environment()

    def stop(self):
        self.kill()
        # Its port mapper is a daemon that outlives it, and refuses to end until it has noticed that the node is gone.
        patience = time.monotonic() + STOP_PATIENCE_S
        kill = ["epmd", "-port", str(self.mapper), "-kill"]
        while b"Killed" not in subprocess.run(kill, capture_output=True).stdout and time.monotonic() < patience:
            time.sleep(0.05)
        shutil.rmtree(self.directory, ignore_errors=True)
