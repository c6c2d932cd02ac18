"""rabbitpy 3.0.2: its integration tests."""

SECONDS_MAX = 120
PASSED_MIN = 40
SHORT = True


def run(kit):
    source = kit.sdist("rabbitpy", "3.0.2")
    python = kit.venv("rabbitpy", ["rabbitpy==3.0.2", "pytest", "python-dotenv"]) / "python"
    url = {"RABBITMQ_URL": kit.broker.url(), "PYTHONPATH": source}
    return kit.pytest(python, ["tests/test_integration.py", "tests/integration"], source, url)
