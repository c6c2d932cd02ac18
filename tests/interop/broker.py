#!/usr/bin/env python3
"""The broker that the suites talk to: one of our own in a directory of its own, or one that runs already.

A broker of our own is described by files in its directory, so that a test program in any language can restart it by running
`$INTEROP_RESTART`, which is `broker.py restart DIRECTORY`. Further arguments: `kill` ends it as a crash would, not peacefully;
flags of the broker hold until the next restart, such as `--disk-low-bytes 1024GiB`, which raises the alarm of a low disk.
`anew` empties its store, too. `$INTEROP_STOP` stops it (with `kill`: as a crash) until `$INTEROP_RESTART` brings it back.
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

import certificates

sys.path.append(str(Path(__file__).resolve().parents[1] / "support"))
from ports import free_port  # noqa: E402

START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 30


class Broker:
    """Where it is, and how an administrator speaks to it."""

    # Where its management API answers, if that is known.
    http = None

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
            link.write_text(f'#!/bin/sh\n{self.verbs()}exec {shlex.join(self.ctl)} "$@"\n')
            link.chmod(0o755)
            known["PATH"] = f"{directory}:{os.environ['PATH']}"
            known["INTEROP_CTL"] = str(link)
        return known

    def verbs(self):
        """Shell for what programs expect of `rabbitmqctl` and this broker's does not have."""
        return ""

    def stop(self):
        """A broker that was running before stays."""


class OwnBroker(Broker):
    """Started by us on a free port of the loopback interface, with an empty store. `binary` may be RabbitMQ's start script; it
    is given `plugins`, and with them the management API. `tls` opens a port for TLS, too, where clients may log in by
    certificates of their own."""

    # Of TLS, if there is any: its port and the directory of certificates.py.
    tls_port = certificates = None

    def __init__(self, binary, directory, flags=(), plugins=(), tls=False):
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        self.directory = directory
        host, port = "127.0.0.1", free_port()
        data = directory / "data"
        self._is_rabbitmq = binary.name == "rabbitmq-server"
        http_port = free_port()
        if plugins or not self._is_rabbitmq:
            self.http = f"http://{host}:{http_port}"
        if tls:
            self.tls_port, self.certificates = free_port(), certificates.make(directory / "certificates")
        if self._is_rabbitmq:
            command = [str(binary)]
            environment = rabbitmq_environment(directory, data, host, port)
            settings = rabbitmq_settings(host, http_port, plugins)
            if tls:
                plugins = (*plugins, "rabbitmq_auth_mechanism_ssl")
                settings += rabbitmq_tls(host, self.tls_port, self.certificates)
            (directory / "plugins").write_text(f"[{','.join(plugins)}].\n")
            (directory / "rabbitmq.conf").write_text(settings)
            rabbitmqctl = binary.with_name("rabbitmqctl")
        else:
            serve = ["serve", "--data-dir", str(data), "--listen", f"{host}:{port}", "--http-listen", f"{host}:{http_port}"]
            if tls:
                serve += tls_flags(host, self.tls_port, self.certificates)
            command = [str(binary), *serve, *flags]
            environment = {"LEDGERMQ_DATA_DIR": str(data)}
            rabbitmqctl = directory / "rabbitmqctl"
            rabbitmqctl.symlink_to(binary)
        ctl = ["env", *(f"{name}={value}" for name, value in environment.items()), str(rabbitmqctl)]
        about = {"command": command, "ctl": ctl, "host": host, "port": port, "environment": environment}
        (directory / "broker.json").write_text(json.dumps(about | {"is_rabbitmq": self._is_rabbitmq}))
        empty(directory)
        start(directory)
        super().__init__(host, port, ctl)

    @property
    def is_rabbitmq(self):
        return self._is_rabbitmq

    def environment(self, directory):
        known = super().environment(directory) | {"INTEROP_RESTART": self.verb("restart"), "INTEROP_STOP": self.verb("stop")}
        if self.tls_port:
            known |= {"INTEROP_TLS_PORT": str(self.tls_port), "INTEROP_CERTIFICATES": str(self.certificates)}
        return known

    def verb(self, name):
        return shlex.join([sys.executable, "-B", str(Path(__file__).resolve()), name, str(self.directory)])

    def verbs(self):
        if self.is_rabbitmq:
            return ""
        # Ours is one process, and nothing of it stays behind to be started.
        return f"case $1 in stop_app) exec {self.verb('stop')} ;; start_app) exec {self.verb('restart')} ;; esac\n"

    def alive(self):
        process = pid(self.directory)
        return process is not None and running(process)

    def stop(self):
        stop(self.directory, signal.SIGKILL)
        shutil.rmtree(self.directory / "data", ignore_errors=True)


def rabbitmq_environment(directory, data, host, port):
    """A node of its own beside others on this machine."""
    return {
        "HOME": str(data),
        "RABBITMQ_NODENAME": f"interop-{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": host,
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(data),
        "RABBITMQ_LOG_BASE": str(data),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
        "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq"),
    }


def rabbitmq_settings(host, http_port, plugins):
    """Where plugins listen: not at the ports of another node. Each setting is known only with its plugin."""
    settings = ""
    if plugins:
        settings += f"management.tcp.ip = {host}\nmanagement.tcp.port = {http_port}\n"
    if any(plugin.startswith("rabbitmq_stream") for plugin in plugins):
        settings += f"stream.listeners.tcp.1 = {host}:{free_port()}\n"
    return settings


def rabbitmq_tls(host, port, certificates):
    """A client need not have a certificate, but one that it shows must be good, and its common name is a user."""
    settings = {
        "listeners.ssl.1": f"{host}:{port}",
        "ssl_options.cacertfile": certificates / "authority.pem",
        "ssl_options.certfile": certificates / "broker.pem",
        "ssl_options.keyfile": certificates / "broker.key",
        "ssl_options.versions.1": "tlsv1.3",
        "ssl_options.versions.2": "tlsv1.2",
        "ssl_options.verify": "verify_peer",
        "ssl_options.fail_if_no_peer_cert": "false",
        "auth_mechanisms.1": "PLAIN",
        "auth_mechanisms.2": "AMQPLAIN",
        "auth_mechanisms.3": "EXTERNAL",
        "ssl_cert_login_from": "common_name",
    }
    return "".join(f"{key} = {value}\n" for key, value in settings.items())


def tls_flags(host, port, certificates):
    """The same of ours."""
    settings = {
        "--tls-listen": f"{host}:{port}",
        "--tls-ca": certificates / "authority.pem",
        "--tls-cert": certificates / "broker.pem",
        "--tls-key": certificates / "broker.key",
        "--tls-verify": "verify_peer",
        "--ssl-cert-login-from": "common_name",
    }
    return [str(part) for setting in settings.items() for part in setting]


# RabbitMQ has no flags; these become commands once it runs.
RABBITMQ_COMMANDS = {"--disk-low-bytes": "set_disk_free_limit"}


def empty(directory):
    """Its store, while it is stopped."""
    data = directory / "data"
    shutil.rmtree(data, ignore_errors=True)
    # RabbitMQ wants it to be there; ours takes it as it is.
    data.mkdir(mode=0o700)


def start(directory, flags=()):
    """Returns once clients can connect."""
    about = json.loads((directory / "broker.json").read_text())
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LEDGERMQ_")}
    orders = []
    if about["is_rabbitmq"]:
        environment |= about["environment"]
        flags, orders = [], [[RABBITMQ_COMMANDS[flag], value] for flag, value in zip(flags[::2], flags[1::2])]
    with open(directory / "broker.log", "ab") as log:
        process = subprocess.Popen(
            [*about["command"], *flags], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    (directory / "broker.pid").write_text(str(process.pid))
    give_up = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            product(about["host"], about["port"])
            break
        except OSError:
            if process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError("the broker did not start:\n" + (directory / "broker.log").read_text()[-3000:]) from None
            time.sleep(0.02)
    for order in orders:
        subprocess.run([*about["ctl"], *order], check=True, stdout=subprocess.DEVNULL)


def stop(directory, how):
    process = pid(directory)
    if process is None:
        return
    # RabbitMQ is several processes.
    kill = os.killpg if how == signal.SIGKILL else os.kill
    if running(process):
        kill(process, how)
    give_up = time.monotonic() + STOP_SECONDS_MAX
    while running(process):
        if time.monotonic() > give_up:
            os.killpg(process, signal.SIGKILL)
        time.sleep(0.02)
    # The number may soon be another's.
    (directory / "broker.pid").unlink()


def pid(directory):
    """`None` while it is stopped."""
    file = directory / "broker.pid"
    return int(file.read_text()) if file.exists() else None


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


if __name__ == "__main__":
    if sys.argv[1] not in ("restart", "stop"):
        sys.exit(__doc__)
    where = Path(sys.argv[2])
    flags = sys.argv[3:]
    how = flags.pop(0) if flags[:1] in (["kill"], ["anew"]) else ""
    stop(where, signal.SIGKILL if how else signal.SIGTERM)
    if sys.argv[1] == "restart":
        if how == "anew":
            empty(where)
        start(where, flags)
