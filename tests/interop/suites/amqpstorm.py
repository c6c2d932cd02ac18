"""AMQPStorm 3.1.4: amqpstorm/tests/functional, without what needs TLS or the management HTTP API."""

SECONDS_MAX = 180
PASSED_MIN = 95

# The tests delete their queues and exchanges through the HTTP API; this does it over AMQP.
CLEANING = """
import amqpstorm
from amqpstorm.tests import HOST, PASSWORD, USERNAME
from amqpstorm.tests.functional import utility


def clean(names, queue=False, exchange=False):
    for name in names:
        with amqpstorm.Connection(HOST, USERNAME, PASSWORD) as connection:
            if queue:
                connection.channel().queue.delete(name)
            if exchange:
                connection.channel().exchange.delete(name)


utility.clean = clean
"""


def run(kit):
    source = kit.sdist("AMQPStorm", "3.1.4")
    python = kit.venv("amqpstorm", ["AMQPStorm[management]==3.1.4", "pytest"]) / "python"
    (source / "conftest.py").write_text(CLEANING)
    # The tests give no port.
    kit.set(source / "amqpstorm/connection.py", (r"port: int = 5672", f"port: int = {kit.broker.port}"))
    nobody = "http://127.0.0.1:1"
    settings = {
        "AMQP_HOST": kit.broker.host,
        "AMQP_USERNAME": "guest",
        "AMQP_PASSWORD": "guest",
        "AMQP_URI": kit.broker.url("%2F"),
        "AMQP_HTTP_URL": nobody,
        "AMQP_SSL_URI": "amqps://127.0.0.1:1",
        "AMQP_SSL_HOST": "127.0.0.1",
        "PYTHONPATH": source,
    }
    # management/test_api.py also dials an address outside of this machine.
    left_out = [f"--ignore=amqpstorm/tests/functional/{part}" for part in ("management", "ssl", "test_web_based.py")]
    return kit.pytest(python, ["amqpstorm/tests/functional", *left_out], source, settings)
