"""rabbitmq_http_client 0.93.0 (Rust): its integration tests, which ask the management API and know its answers field by field."""

from kit import Expected

SECONDS_MAX = 400
PASSED_MIN = 257
# The node's name is made of it, and the tests know both.
FLAGS = ("--cluster-name", "rabbit")
# A RabbitMQ is given these.
PLUGINS = ("rabbitmq_management", "rabbitmq_shovel_management", "rabbitmq_federation_management", "rabbitmq_stream_management")


def run(kit):
    if not kit.broker.http:
        raise RuntimeError("this suite needs the management API")
    source = kit.crate("rabbitmq_http_client", "0.93.0")
    # What its authors prepare before they test.
    kit.ctl("add_user", "rust3", "rust3")
    kit.ctl("add_vhost", "rust/http/api/client")
    for vhost, user in (("/", "rust3"), ("rust/http/api/client", "guest")):
        kit.ctl("set_permissions", "-p", vhost, user, ".*", ".*", ".*")
    if kit.broker.is_rabbitmq:
        kit.ctl("set_cluster_name", "rabbitmq@localhost")
    # The tests give no address.
    http_port = kit.broker.http.rsplit(":", 1)[1]
    tests = source / "tests/integration"
    kit.set(
        tests / "test_helpers.rs",
        ("http://localhost:15672", kit.broker.http),
        ("amqp://localhost:5672", f"amqp://{kit.broker.host}:{kit.broker.port}"),
        ('"localhost"', f'"{kit.broker.host}"'),
        (", 5672,", f", {kit.broker.port},"),
    )
    for name in ("async_connection_tests.rs", "async_channel_tests.rs"):
        kit.set(tests / name, (", 5672,", f", {kit.broker.port},"))
    for name in ("async_health_checks_tests.rs", "blocking_health_checks_tests.rs"):
        kit.set(tests / name, (r"\(15672\)", f"({http_port})"))
    # Without TLS, whose libraries take long to compile; the tests that need it are ignored unless they are asked for.
    kit.set(tests / "main.rs", (r"mod (async|blocking)_tls_tests;\n", ""))
    features = ["--no-default-features", "--features", "async,blocking,tabled,zeroize"]
    # They change what all of them see, so they run one by one, as under their authors' runner. The delay is that of a
    # RabbitMQ, which counts every five seconds.
    settings = {"TEST_STATS_DELAY": "5500" if kit.broker.is_rabbitmq else "0"}
    return kit.cargo_tests(source, ["--test", "integration", *features, "--", "--test-threads=1"], settings)


def both_clients(module, tests, expected):
    """Of the asynchronous client and of the blocking one."""
    return {
        f"main::{client}_{module}::test_{client}_{test}": expected for client in ("async", "blocking") for test in tests.split()
    }


EXCEPTIONS = {
    **both_clients(
        "dynamic_shovel_tests",
        """
        declare_a_dynamic_amqp091_shovel
        declare_a_dynamic_amqp091_shovel_with_predeclared_destination_topology
        declare_a_dynamic_amqp091_shovel_with_predeclared_source_topology
        declare_a_dynamic_amqp10_shovel
        delete_a_dynamic_amqp091_shovel
        list_all_shovels
        list_all_shovels_in_a_virtual_host
        """,
        Expected("there are no shovels; to a RabbitMQ older than 4.0 the test says nothing", on="ours"),
    ),
    **both_clients(
        "queue_federation_tests",
        """
        declare_a_federation_upstream_with_queue_federation_parameters
        delete_federation_upstream
        exchange_federation_upstream_fetch_and_update_workflow
        federation_upstream_fetch_and_update_workflow
        """,
        Expected("there is no federation", on="ours"),
    ),
    **both_clients(
        "health_checks_tests",
        "health_check_protocol_listener_succeeds",
        Expected("wants a listener of the stream protocol, which is not spoken", on="ours"),
    ),
    # RabbitMQ 3.10 is older than what the client reads.
    **both_clients(
        "node_tests",
        "get_node_info list_all_cluster_plugins list_node_plugins list_nodes",
        Expected("a node does not say `being_drained`", on="rabbitmq"),
    ),
    **both_clients(
        "auth_attempts_tests", "auth_attempts_statistics", Expected("a node does not say `being_drained`", on="rabbitmq")
    ),
    **both_clients(
        "zeroize_tests",
        "client_builder_with_password_type client_with_password_type",
        Expected("a node does not say `being_drained`", on="rabbitmq"),
    ),
    **both_clients(
        "policy_tests",
        "dlx_policy message_ttl_policy multiple_operator_policies_case1 multiple_policies_case1 operator_policy",
        Expected("policies of classic queues alone are of 3.12", on="rabbitmq"),
    ),
    **both_clients(
        "definitions_tests",
        "export_cluster_wide_definitions_as_data export_vhost_definitions_as_data",
        Expected("policies of classic queues alone are of 3.12", on="rabbitmq"),
    ),
    **both_clients(
        "virtual_host_tests",
        "list_vhosts",
        Expected("one of the suite's vhosts is shown in a form that the client does not read", on="rabbitmq", sometimes=True),
    ),
}
