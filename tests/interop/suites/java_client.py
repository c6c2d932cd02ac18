"""The RabbitMQ Java client 5.0.0 (Debian's source package): its functional and server tests, and its client tests with a broker."""

import re
from pathlib import Path

from kit import Expected

SECONDS_MAX = 900
PASSED_MIN = 407
# Some tests ask for the version.
FLAGS = ("--product", "RabbitMQ", "--product-version", "4.1.0")
JAVA = Path(__file__).resolve().parents[1] / "java"
PACKAGES = (
    "default-jdk-headless",
    "librabbitmq-client-java",
    "junit4",
    "libhamcrest-java",
    "libmockito-java",
    "libcommons-cli-java",
    "libslf4j-java",
)
JARS = (
    "amqp-client",
    "junit4",
    "hamcrest",
    "mockito-core",
    "byte-buddy",
    "byte-buddy-agent",
    "objenesis",
    "commons-cli",
    "slf4j-api",
    "slf4j-nop",
)
# Of the client tests, those that talk to a broker.
CLIENT_TESTS = (
    "AMQBuilderApiTest",
    "Bug20004Test",
    "ChannelAsyncCompletableFutureTest",
    "ChannelNumberAllocationTests",
    "ChannelRpcTimeoutIntegrationTest",
    "CloseInMainLoop",
    "JavaNioTest",
    "LambdaCallbackTest",
    "MultiThreadedChannel",
    "QueueingConsumerTests",
    "RpcTest",
    "SharedThreadPoolTest",
)
# The metrics' library is not in Debian. LoopbackUsers talks to an address of this machine that is not the loopback's, and
# changes Erlang variables. Bug19219Test, which is in none of its authors' own lists, leaves a hundred publishers running.
LEFT_OUT = ("Metrics", "LoopbackUsers", "Bug19219Test")


def run(kit):
    kit.debian(*PACKAGES)
    source = kit.debian_source("rabbitmq-java-client", "5.0.0")
    tests = source / "src/test/java"
    talk_to_the_broker(kit, tests)
    client = tests / "com/rabbitmq/client/test"
    files = [client / f"{name}.java" for name in CLIENT_TESTS]
    files += sorted(file for part in ("functional", "server") for file in (client / part).glob("*.java"))
    files = [file for file in files if file.stem not in LEFT_OUT]
    jars = ":".join(f"/usr/share/java/{jar}.jar" for jar in JARS)
    classes = kit.work / "classes"
    compiler = ["javac", "-nowarn", "-Xlint:none", "-encoding", "utf-8", "-cp", jars, "-d", classes]
    kit.build([*compiler, "-sourcepath", tests, JAVA / "Run.java", *files])
    make = kit.work / "make"
    make.write_text(MAKE)
    make.chmod(0o755)
    settings = {"make.bin": make, "rabbitmqctl.bin": kit.work / "bin/rabbitmqctl", "rabbitmq.dir": kit.work}
    flags = [f"-D{name}={value}" for name, value in settings.items()]
    names = [".".join(file.relative_to(tests).with_suffix("").parts) for file in files]
    return kit.program(["java", *flags, "-cp", f"{jars}:{classes}", "Run", *names])


def talk_to_the_broker(kit, tests):
    """The tests give no port, and know a broker's administrator from ten years ago."""
    port = str(kit.broker.port)
    changes = (
        (r"new ConnectionFactory\(\)(?! *\{)", f"new ConnectionFactory() {{{{ setPort({port}); }}}}"),
        (r"(ConnectionFactory\(\) \{\s+super\(\);)", rf"\1 setPort({port});"),
        (r'new Address\("(127\.0\.0\.1|localhost)"\)', rf'new Address("\1", {port})'),
        (r"\b5672\b|AMQP\.PROTOCOL\.PORT", port),
        # Where a second node of a cluster would be, nobody must answer.
        (r"\b5673\b", "1"),
    )
    for file in tests.glob("**/*.java"):
        text = file.read_text()
        for pattern, replacement in changes:
            text = re.sub(pattern, replacement, text)
        file.write_text(text)
    # rabbitmqctl's -q printed no column names when these tests were written, which is -s now; and it knows its node.
    host = tests / "com/rabbitmq/tools/Host.java"
    kit.set(host, ("list_connections -q", "list_connections -s"), (r"\" -n \\'\" \+ nodenameA\(\) \+ \"\\'\" \+\s+", ""))
    # The metrics' library is not in Debian.
    kit.set(tests / "com/rabbitmq/client/test/functional/FunctionalTests.java", (r",\s*Metrics\.class", ""))
    if not kit.broker.is_rabbitmq:
        # What they change is a variable of the Erlang machine; ours is a setting of the broker.
        set_env = r"Host\.rabbitmqctl\(\"eval 'application:set_env\(rabbit, channel_max, {}\)\.'\"\)"
        restart = 'Host.executeCommand(System.getenv("INTEROP_RESTART"){})'
        kit.set(
            tests / "com/rabbitmq/client/test/server/ChannelLimitNegotiation.java",
            (set_env.format("0"), restart.format("")),
            (set_env.format(2048), restart.format(' + " --channels-max 2048"')),
            (set_env.format(r'" \+ n \+ "'), restart.format(' + " --channels-max " + n')),
        )


# What the tests ask of make.
MAKE = """#!/bin/sh
set -e
for word; do
    case $word in
        --version) echo GNU Make ;;
        stop-rabbit-on-node | start-rabbit-on-node)
            if [ -z "$INTEROP_RESTART" ]; then echo "a given broker is not restarted"; exit 1; fi ;;
    esac
    case "$word $*" in
        stop-rabbit-on-node*) $INTEROP_STOP ;;
        start-rabbit-on-node*) $INTEROP_RESTART ;;
        set-resource-alarm*SOURCE=memory*) rabbitmqctl set_vm_memory_high_watermark 0.000000001 ;;
        clear-resource-alarm*SOURCE=memory*) rabbitmqctl set_vm_memory_high_watermark 0.4 ;;
        set-resource-alarm*SOURCE=disk*) rabbitmqctl set_disk_free_limit 1000000000000000 ;;
        clear-resource-alarm*SOURCE=disk*) rabbitmqctl set_disk_free_limit 50000000 ;;
    esac
done
"""

OLD_DEATHS = "RabbitMQ 4 and we take nothing over from an x-death header that a client sends"
EXCEPTIONS = {
    "DeadLetterExchange.republish": Expected(OLD_DEATHS, on="ours"),
    "XDeathHeaderGrowth.handlingOfXDeathHeadersFromEarlierVersions": Expected(OLD_DEATHS, on="ours"),
    "FrameMax.rejectLargeFramesDuringConnectionNegotiation": Expected(
        "RabbitMQ 4.1 and we take 8192 bytes before the login, so that tokens fit, not 4096", on="ours"
    ),
    "Permissions.passiveDeclaration": Expected(
        "RabbitMQ 4.3 and we want one of the three rights for a passive declaration, not none", on="ours"
    ),
}
