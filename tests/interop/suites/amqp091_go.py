"""amqp091-go (Debian's package): all its tests."""

from kit import Expected

SECONDS_MAX = 180
PASSED_MIN = 115
SHORT = True
PACKAGE, IMPORT = "golang-github-rabbitmq-amqp091-go-dev", "github.com/rabbitmq/amqp091-go"


def run(kit):
    kit.debian("golang-go", PACKAGE)
    return kit.debian_go(IMPORT, ["-tags", "integration"], {"AMQP_URL": kit.broker.url("")})


EXCEPTIONS = {
    "TestNotifyClosesAllChansAfterConnectionClose": Expected(
        "talks to no broker, and gives a channel that is closed already one millisecond to show it", sometimes=True
    ),
}
