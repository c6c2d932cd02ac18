"""rabbitmqadmin 2.35.0 (Rust): the integration tests of the command line, each command against the management API."""

from kit import Expected

SECONDS_MAX = 600
PASSED_MIN = 238
# A RabbitMQ is given these.
PLUGINS = ("rabbitmq_management", "rabbitmq_shovel_management", "rabbitmq_federation_management", "rabbitmq_stream_management")
# The node's name is made of it, and the tests know both.
FLAGS = ("--cluster-name", "rabbit")


def run(kit):
    if not kit.broker.http:
        raise RuntimeError("this suite needs the management API")
    source = kit.crate("rabbitmqadmin", "2.35.0")
    # Neither the tests nor what they run are given an address.
    port = kit.broker.http.rsplit(":", 1)[1]
    kit.set(source / "src/constants.rs", ("15672", port), ('"localhost"', f'"{kit.broker.host}"'))
    tests = source / "tests/integration"
    for file in tests.glob("*.rs"):
        text = file.read_text()
        text = text.replace("http://localhost:15672", kit.broker.http).replace('"--port", "15672"', f'"--port", "{port}"')
        file.write_text(text.replace("localhost:5672", f"{kit.broker.host}:{kit.broker.port}"))
    fixtures = source / "tests/fixtures"
    for file in fixtures.rglob("*.conf"):
        file.write_text(file.read_text().replace('"localhost"', f'"{kit.broker.host}"').replace("15672", port))
    # They change what all of them see, so they run one by one.
    settings = {"TEST_STATS_DELAY": "5500" if kit.broker.is_rabbitmq else "0"}
    arguments = ["--test", "integration", "--no-default-features", "--", "--test-threads=1"]
    return kit.cargo_tests(source, arguments, settings)


NO_FEDERATION = Expected("there is no federation", on="ours")
NO_SHOVELS = Expected("there are no shovels", on="ours")
OF_FEDERATION_AND_SHOVELS = {
    "exchange_federation_tests": """
        test_federation_delete_an_upstream_with_exchange_federation_settings
        test_federation_delete_upstream_idempotently
        test_federation_list_all_upstreams_with_exchange_federation
        test_federation_upstream_declaration_for_exchange_federation_case0
        test_federation_upstream_declaration_for_exchange_federation_case1a
        test_federation_upstream_declaration_for_exchange_federation_case1b
        test_federation_upstream_declaration_for_exchange_federation_case2
    """,
    "federation_link_tests": """
        test_federation_link_starts_after_policy_enables_federation
        test_federation_link_stops_after_policy_disables_federation
        test_federation_link_stops_after_policy_removal
        test_federation_link_stops_after_upstream_removal
    """,
    "federation_upstream_uri_modification_tests": """
        test_disable_tls_peer_verification_for_all_upstreams_basic
        test_disable_tls_peer_verification_for_all_upstreams_mixed_federation
        test_disable_tls_peer_verification_for_all_upstreams_queue_federation_basic
        test_disable_tls_peer_verification_for_all_upstreams_queue_federation_with_params
        test_disable_tls_peer_verification_for_all_upstreams_with_existing_verify_param
        test_enable_tls_peer_verification_for_all_upstreams_basic
        test_enable_tls_peer_verification_for_all_upstreams_mixed_federation
        test_enable_tls_peer_verification_for_all_upstreams_queue_federation
        test_enable_tls_peer_verification_for_all_upstreams_with_existing_params
    """,
    "queue_federation_tests": """
        test_federation_delete_an_upstream_with_queue_federation_settings
        test_federation_list_all_links_with_queue_federation_settings
        test_federation_list_all_upstreams_with_queue_federation
        test_federation_upstream_declaration_for_queue_federation_case0
        test_federation_upstream_declaration_for_queue_federation_case1a
        test_federation_upstream_declaration_for_queue_federation_case1b
        test_federation_upstream_declaration_for_queue_federation_case2
    """,
    "shovel_destination_uri_modification_tests": """
        test_disable_tls_peer_verification_for_all_destination_uris_amqp10
        test_disable_tls_peer_verification_for_all_destination_uris_basic
        test_disable_tls_peer_verification_for_all_destination_uris_with_dummy_query_params
        test_disable_tls_peer_verification_for_all_destination_uris_with_existing_verify_param
        test_enable_tls_peer_verification_for_all_destination_uris_basic
        test_enable_tls_peer_verification_for_all_destination_uris_with_existing_params
    """,
    "shovel_source_uri_modification_tests": """
        test_disable_tls_peer_verification_for_all_shovels_amqp10
        test_disable_tls_peer_verification_for_all_shovels_basic
        test_disable_tls_peer_verification_for_all_shovels_mixed_protocols
        test_disable_tls_peer_verification_for_all_shovels_with_dummy_query_params
        test_disable_tls_peer_verification_for_all_shovels_with_existing_verify_param
        test_enable_tls_peer_verification_for_all_source_uris_basic
        test_enable_tls_peer_verification_for_all_source_uris_with_existing_params
    """,
    "shovel_tests": """
        test_amqp091_shovel_declaration_and_deletion
        test_amqp10_shovel_declaration_and_deletion
        test_shovels_delete_idempotently
    """,
}
EXCEPTIONS = {
    f"main::{module}::{test}": NO_SHOVELS if "shovel" in module else NO_FEDERATION
    for module, tests in OF_FEDERATION_AND_SHOVELS.items()
    for test in tests.split()
} | {
    **{
        f"main::runtime_parameters_tests::test_{test}": NO_FEDERATION
        for test in ("parameters_clear_idempotently", "runtime_parameters_across_groups", "runtime_parameters_cmd_group")
    },
    **{
        f"main::deprecated_feature_tests::test_list_all_deprecated_features{how}": Expected(
            "wants nodes that keep definitions in memory alone (ram_node_type) to be deprecated, and there are none", on="ours"
        )
        for how in ("", "_via_alias")
    },
    "main::feature_flag_tests::test_list_feature_flags": Expected(
        "wants the flag of another store of RabbitMQ's (khepri_db)", on="ours"
    ),
}
