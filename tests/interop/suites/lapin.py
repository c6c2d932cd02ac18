"""lapin 4.12.3 (Rust): all its tests."""

SECONDS_MAX = 180
PASSED_MIN = 35


def run(kit):
    source = kit.crate("lapin", "4.12.3")
    # Without TLS, whose libraries take long to compile.
    features = ["--no-default-features", "--features", "default-runtime,smol"]
    return kit.cargo_tests(source, ["--tests", *features], {"AMQP_ADDR": kit.broker.url()})
