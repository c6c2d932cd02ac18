"""Smoke tests of ours over TLS with amqp091-go (Debian's package)."""

from pathlib import Path

SECONDS_MAX = 60
PASSED_MIN = 8
SHORT = TLS = True
SMOKE = Path(__file__).resolve().parents[1] / "smoke"


def run(kit):
    kit.debian("golang-go", "golang-github-rabbitmq-amqp091-go-dev", "openssl")
    kit.ctl("add_user", "client", "not-asked-for")
    kit.ctl("set_permissions", "-p", "/", "client", ".*", ".*", ".*")
    go = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOCACHE": kit.cache / "go"}
    kit.build(["go", "build", "-o", kit.work / "tls", SMOKE / "tls.go"], env=go)
    return kit.program([kit.work / "tls"])
