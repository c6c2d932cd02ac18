"""aiorabbit 1.0.3: all its tests."""

from kit import Expected

SECONDS_MAX = 120
PASSED_MIN = 155
SHORT = True


def run(kit):
    source = kit.sdist("aiorabbit", "1.0.3")
    python = kit.venv("aiorabbit", ["aiorabbit==1.0.3", "pytest"]) / "python"
    (source / "build").mkdir()
    (source / "build/test-environment").write_text(f"export RABBITMQ_URI={kit.broker.url()}\n")
    # Its tests import each other as a package, which they are not in the source distribution.
    (source / "tests/__init__.py").touch()
    return kit.pytest(python, ["tests"], source)


INVALID_TYPE = "3.10 closes the connection with 503 for an unknown exchange type, 4.x and we the channel with 406"
EXCEPTIONS = {
    "ExchangeTestCase::test_exchange_declare_invalid_exchange_type": Expected(INVALID_TYPE, on="rabbitmq"),
    "ReconnectPublisherConfirmsTestCase::test_confirm_select_already_invoked_on_reconnect": Expected(INVALID_TYPE, on="rabbitmq"),
}
