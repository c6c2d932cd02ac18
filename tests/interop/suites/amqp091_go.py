"""amqp091-go (Debian's package): all its tests."""

SECONDS_MAX = 180
PASSED_MIN = 116
SHORT = True
PACKAGE, IMPORT = "golang-github-rabbitmq-amqp091-go-dev", "github.com/rabbitmq/amqp091-go"


def run(kit):
    kit.debian("golang-go", PACKAGE)
    return kit.debian_go(IMPORT, ["-tags", "integration"], {"AMQP_URL": kit.broker.url("")})
