"""kombu 5.7.0: t/integration over its py-amqp transport."""

SECONDS_MAX = 240
PASSED_MIN = 51
SHORT = True


def run(kit):
    source = kit.sdist("kombu", "5.7.0")
    python = kit.venv("kombu", ["kombu==5.7.0", "pytest", "pytest-rerunfailures"]) / "python"
    host = {"RABBITMQ_HOST": kit.broker.host, "RABBITMQ_5672_TCP": kit.broker.port}
    return kit.pytest(python, ["t/integration/test_py_amqp.py"], source, host)
