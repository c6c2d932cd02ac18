"""amqprs 2.1.5 (Rust): all its tests but those of TLS."""

import re

from kit import Expected

SECONDS_MAX = 240
PASSED_MIN = 49


def run(kit):
    source = kit.crate("amqprs", "2.1.5")
    # The tests know their user and give no other port.
    kit.ctl("add_user", "user", "bitnami")
    kit.ctl("set_permissions", "-p", "/", "user", ".*", ".*", ".*")
    tests = [file for file in source.glob("**/*.rs") if re.search(r'localhost(:|", )5672', file.read_text())]
    for file in tests:
        kit.set(file, (r'(localhost(?::|", ))5672', rf"\g<1>{kit.broker.port}"))
    kit.set(
        source / "src/api/connection.rs",
        (r"DEFAULT_AMQP_PORT: u16 = 5672", f"DEFAULT_AMQP_PORT: u16 = {kit.broker.port}"),
        (r"port\(\), 5672", f"port(), {kit.broker.port}"),
    )
    # A library that only its tests of TLS use takes minutes to compile.
    kit.set(source / "Cargo.toml", (r"(?s)\[dev-dependencies\.rustls\].*?(?=\n\[)", ""))
    return kit.cargo_tests(source, ["--lib", "--tests"])


EXCEPTIONS = {
    "lib::net::split_connection::test::test_open_amqp_connection": Expected(
        "logs in by RABBIT-CR-DEMO, which RabbitMQ does not offer unless it is configured to, and we do not have"
    ),
}
