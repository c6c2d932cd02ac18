"""amqplib 1.0.0 for Node: all its tests."""

from kit import Expected

SECONDS_MAX = 120
PASSED_MIN = 251
SHORT = True
# One test wants to read it in the server's properties.
FLAGS = ("--product", "RabbitMQ")


def run(kit):
    package = kit.npm("amqplib", "1.0.0", "claire@0.4.1")
    # Where a URL names no port, this is the client's default.
    kit.set(package / "lib/connect.js", (r"\b5672\b", str(kit.broker.port)))
    files = sorted(str(file.relative_to(package)) for file in package.glob("test/*.test.js"))
    return kit.node_tests(files, package, {"URL": f"amqp://localhost:{kit.broker.port}"})


EXCEPTIONS = {
    "connect.test.js > Connect > Connect API > ipv6": Expected("the broker of this run listens on IPv4 only"),
}
