"""streadway/amqp (Debian's package), the Go client before amqp091-go: all its tests."""

from kit import Expected

SECONDS_MAX = 180
PASSED_MIN = 98
PACKAGE, IMPORT = "golang-github-streadway-amqp-dev", "github.com/streadway/amqp"


def run(kit):
    kit.debian("golang-go", PACKAGE)
    return kit.debian_go(IMPORT, ["-tags", "integration"], {"AMQP_URL": kit.broker.url("")})


EXCEPTIONS = {
    "TestNotifyClosesAllChansAfterConnectionClose": Expected(
        "talks to no broker, and gives a channel that is closed already one millisecond to show it", sometimes=True
    ),
}
