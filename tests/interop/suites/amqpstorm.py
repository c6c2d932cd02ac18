"""AMQPStorm 3.1.4: amqpstorm/tests/functional, without what needs TLS."""

from kit import Expected

SECONDS_MAX = 240
PASSED_MIN = 152

# The tests delete their queues and exchanges through the HTTP API; for a broker whose API is not known, this does it over
# AMQP.
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

OF_THE_API = ("management", "test_web_based.py")
# Dials an address outside of this machine.
OUTSIDE = "amqpstorm/tests/functional/management/test_api.py::ApiFunctionalTests::test_api_with_inaccessible"


def run(kit):
    source = kit.sdist("AMQPStorm", "3.1.4")
    python = kit.venv("amqpstorm", ["AMQPStorm[management]==3.1.4", "pytest"]) / "python"
    if not kit.broker.http:
        (source / "conftest.py").write_text(CLEANING)
    # The tests give no port.
    kit.set(source / "amqpstorm/connection.py", (r"port: int = 5672", f"port: int = {kit.broker.port}"))
    settings = {
        "AMQP_HOST": kit.broker.host,
        "AMQP_USERNAME": "guest",
        "AMQP_PASSWORD": "guest",
        "AMQP_URI": kit.broker.url("%2F"),
        "AMQP_HTTP_URL": kit.broker.http or "http://127.0.0.1:1",
        "AMQP_SSL_URI": "amqps://127.0.0.1:1",
        "AMQP_SSL_HOST": "127.0.0.1",
        "PYTHONPATH": source,
    }
    left_out = ["ssl", *(() if kit.broker.http else OF_THE_API)]
    ignored = [f"--ignore=amqpstorm/tests/functional/{part}" for part in left_out]
    return kit.pytest(python, ["amqpstorm/tests/functional", *ignored, f"--deselect={OUTSIDE}"], source, settings)


EXCEPTIONS = {
    "ApiFunctionalTests::test_api_cluster_name": Expected("wants the name of its author's cluster", on="ours"),
}
