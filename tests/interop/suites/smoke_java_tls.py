"""Smoke tests of ours over TLS with the Java client (Debian's package)."""

from pathlib import Path

SECONDS_MAX = 120
PASSED_MIN = 8
SHORT = TLS = True
SMOKE = Path(__file__).resolve().parents[1] / "smoke"


def run(kit):
    kit.debian("default-jdk-headless", "librabbitmq-client-java", "libslf4j-java", "openssl")
    kit.ctl("add_user", "client", "not-asked-for")
    kit.ctl("set_permissions", "-p", "/", "client", ".*", ".*", ".*")
    classpath = "/usr/share/java/amqp-client.jar:/usr/share/java/slf4j-api.jar:/usr/share/java/slf4j-nop.jar"
    kit.build(["javac", "-nowarn", "-cp", classpath, "-d", kit.work, SMOKE / "TlsSmoke.java"])
    return kit.program(["java", "-cp", f"{classpath}:{kit.work}", "TlsSmoke"])
