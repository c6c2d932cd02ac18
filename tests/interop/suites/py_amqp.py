"""py-amqp 5.4.2 (the Python client under kombu): t/integration."""

SECONDS_MAX = 120
PASSED_MIN = 48
SHORT = True


def run(kit):
    source = kit.sdist("amqp", "5.4.2")
    python = kit.venv("py-amqp", ["amqp==5.4.2", "pytest", "pytest-rerunfailures"]) / "python"
    host = {"RABBITMQ_HOST": kit.broker.host, "RABBITMQ_5672_TCP": kit.broker.port}
    # test_tls_default_certs and test_tls_no_default_certs_fails talk to a host outside of this machine.
    here_only = [
        "--deselect",
        "t/integration/test_rmq.py::test_tls_default_certs",
        "--deselect",
        "t/integration/test_rmq.py::test_tls_no_default_certs_fails",
    ]
    return kit.pytest(python, ["t/integration", "-k", "not tls", *here_only], source, host)
