"""Policies, limits and types of queues: what operators order while applications run."""

import json

import pika
import pytest

from conftest import VHOST
from tools import drain, queue, ready, refused, wait_until


@pytest.fixture
def govern(broker):
    """govern(COMMAND, ...) runs a command on the tests' virtual host; policies are cleared afterwards."""

    def govern(command, *arguments, **options):
        return broker.ctl(command, "-p", VHOST, *arguments, **options)

    yield govern
    for layer in ["policies", "operator_policies"]:
        for policy in json.loads(govern(f"list_{layer}", "--formatter", "json")):
            govern(f"clear_{layer.replace('policies', 'policy')}", policy["name"])


def test_a_policy_applies_to_queues_that_stand_and_to_those_that_come(govern, channel):
    queue(channel, "s100-old", durable=True)
    said = govern("set_policy", "brief", "^s100", '{"message-ttl":50}', "--apply-to", "queues", "--priority", "1")
    assert (
        'Setting policy "brief" for pattern "^s100" to "{"message-ttl":50}" with priority "1" '
        f'for vhost "{VHOST}" ...' in said
    )
    queue(channel, "s100-new")
    for name in ["s100-old", "s100-new"]:
        channel.basic_publish("", name, "brief")
    wait_until(lambda: ready(channel, "s100-old") == ready(channel, "s100-new") == 0, channel.connection)
    govern("clear_policy", "brief")
    channel.basic_publish("", "s100-old", "kept")
    channel.connection.process_data_events(0.2)
    assert drain(channel, "s100-old") == ["kept"]
    channel.queue_delete("s100-old")


def test_an_argument_and_a_policy_limit_together_and_the_operator_has_the_last_word(govern, channel):
    queue(channel, "s101", arguments={"x-max-length": 5})

    def filled():
        for number in range(10):
            channel.basic_publish("", "s101", str(number))
        return drain(channel, "s101")

    assert len(filled()) == 5
    govern("set_policy", "wide", "^s101$", '{"max-length":8}')
    assert len(filled()) == 5, "of an argument and a policy the smaller number holds"
    govern("set_operator_policy", "narrow", "^s101$", '{"max-length":3}')
    assert filled() == ["7", "8", "9"]
    govern("clear_operator_policy", "narrow")
    govern("set_policy", "narrow", "^s101$", '{"max-length":2}', "--priority", "1")
    assert filled() == ["8", "9"]


def test_a_policy_gives_an_exchange_an_alternate(govern, channel):
    channel.exchange_declare("s102", "fanout")
    channel.exchange_declare("s102-rest", "fanout")
    queue(channel, "s102-left", ("s102-rest", ""))
    channel.basic_publish("s102", "", "lost")
    govern("set_policy", "rest", "^s102$", '{"alternate-exchange":"s102-rest"}', "--apply-to", "exchanges")
    channel.basic_publish("s102", "", "found")
    assert drain(channel, "s102-left") == ["found"]
    channel.exchange_delete("s102")
    channel.exchange_delete("s102-rest")


def test_policies_are_listed_by_priority(govern):
    govern("set_policy", "b", "^s103", '{"max-length":1,"expires":1000}', "--priority", "2")
    govern("set_policy", "a", "^s103", '{"message-ttl":1}', "--apply-to", "queues")
    listed = json.loads(govern("list_policies", "--formatter", "json"))
    assert [list(row.values()) for row in listed] == [
        [VHOST, "a", "^s103", "queues", '{"message-ttl":1}', 0],
        [VHOST, "b", "^s103", "all", '{"expires":1000,"max-length":1}', 2],
    ]
    assert f"{VHOST}\ta\t^s103\tqueues\t{{\"message-ttl\":1}}\t0\n" in govern("list_policies")


@pytest.mark.parametrize("pattern, definition, words", [
    ("^q", '{"message-ttl":-1}', "Validation failed\n\n-1 is not a valid message TTL"),
    ("^q", '{"expires":"soon"}', '<<"soon">> is not a valid queue expiry'),
    ("^q", '{"colour":"red"}', '[{<<"colour">>,<<"red">>}] are not recognised policy settings'),
    ("^q", "{}", "Validation failed\n\nno policy provided"),
    ("(", '{"message-ttl":1}', "pattern should be regular expression but is invalid: "),
])
def test_what_cannot_be_a_policy_is_refused_in_the_same_words(govern, pattern, definition, words):
    assert words in govern("set_policy", "bad", pattern, definition, check=False)
    assert json.loads(govern("list_policies", "--formatter", "json")) == []


def test_a_virtual_host_has_so_many_queues_and_connections(broker):
    broker.ctl("delete_vhost", "small", check=False)
    broker.ctl("add_vhost", "small")
    broker.ctl("set_permissions", "-p", "small", "guest", ".*", ".*", ".*")
    try:
        said = broker.ctl("set_vhost_limits", "-p", "small", '{"max-queues":1,"max-connections":1}')
        assert 'Setting vhost limits to "{"max-queues":1,"max-connections":1}" for vhost "small" ...' in said
        assert '{"max-connections":1,"max-queues":1}' in broker.ctl("list_vhost_limits", "-p", "small")
        with broker.connect("small") as connection:
            channel = connection.channel()
            channel.queue_declare("one")
            with refused(406, "cannot declare queue 'two': queue limit in vhost 'small' (1) is reached"):
                channel.queue_declare("two")
            with refused(530, "access to vhost 'small' refused for user 'guest': connection limit (1) is reached"):
                broker.connect("small")
            broker.ctl("clear_vhost_limits", "-p", "small")
            broker.connect("small").close()
            connection.channel().queue_declare("two")
    finally:
        broker.ctl("delete_vhost", "small")


def test_a_user_has_so_many_connections_and_channels(broker, user, connect):
    user("limited", "secret", ".*", ".*", ".*")
    broker.ctl("set_user_limits", "limited", '{"max-connections":1}')
    broker.ctl("set_user_limits", "limited", '{"max-channels":2}')
    listed = broker.ctl("list_user_limits", "--user", "limited")
    assert '{"max-channels":2,"max-connections":1}' in listed
    connection = connect("limited", "secret")
    with refused(530, "connection refused for user 'limited': user connection limit (1) is reached"):
        connect("limited", "secret")
    broker.ctl("clear_user_limits", "limited", "max-connections")
    other = connect("limited", "secret")
    connection.channel()
    other.channel()
    with refused(530, "number of channels opened for user 'limited' has reached the maximum allowed user limit of (2)"):
        other.channel()


def test_who_is_deleted_is_disconnected(broker, user, connect):
    user("leaver", "secret", ".*", ".*", ".*")
    connection = connect("leaver", "secret")
    broker.ctl("delete_user", "leaver")
    with refused(320, "CONNECTION_FORCED - user 'leaver' is deleted"):
        wait_until(lambda: connection.is_closed, connection)
    broker.ctl("add_user", "leaver", "secret")  # for the fixture to delete


def test_a_vhost_that_is_deleted_disconnects_its_clients(broker):
    broker.ctl("add_vhost", "doomed")
    broker.ctl("set_permissions", "-p", "doomed", "guest", ".*", ".*", ".*")
    connection = broker.connect("doomed")
    broker.ctl("delete_vhost", "doomed")
    with refused(320, "CONNECTION_FORCED - vhost 'doomed' is deleted"):
        wait_until(lambda: connection.is_closed, connection)


def test_a_virtual_host_has_a_default_type_of_queues(broker):
    broker.ctl("delete_vhost", "lasting", check=False)
    broker.ctl("add_vhost", "lasting", "--description", "kept", "--tags", "a,b", "--default-queue-type", "quorum")
    broker.ctl("set_permissions", "-p", "lasting", "guest", ".*", ".*", ".*")
    try:
        columns = ["name", "description", "tags", "default_queue_type"]
        assert "lasting\tkept\t[a, b]\tquorum\n" in broker.ctl("list_vhosts", *columns)
        with broker.connect("lasting") as connection:
            channel = connection.channel()
            queue(channel, "lasting", durable=True)
            queue(channel, "lasting", durable=True, arguments={"x-queue-type": "quorum"})
            queue(channel, "fleeting", exclusive=True)
            listed = broker.ctl("list_queues", "-q", "-p", "lasting", "name", "type")
            assert "lasting\tquorum\n" in listed and "fleeting\tclassic\n" in listed
    finally:
        broker.ctl("delete_vhost", "lasting")


@pytest.mark.parametrize("options, words", [
    ({"exclusive": True}, "invalid property 'exclusive-owner' for queue 's110'"),
    ({"auto_delete": True, "durable": True}, "invalid property 'auto-delete' for queue 's110'"),
    ({}, "invalid property 'non-durable' for queue 's110'"),
    ({"durable": True, "x-max-priority": 5}, "invalid arg 'x-max-priority' for queue 's110'"),
])
def test_quorum_queues_are_lasting_and_have_arguments_of_their_own(channel, options, words):
    arguments = {"x-queue-type": "quorum"} | {name: options.pop(name) for name in list(options) if "x-" in name}
    with refused(406, f"PRECONDITION_FAILED - {words} in vhost '{VHOST}'"):
        channel.queue_declare("s110", arguments=arguments, **options)


def test_policies_and_limits_survive_a_crash(mortal):
    mortal.ctl("set_policy", "kept", "^s111", '{"max-length":1}')
    mortal.ctl("set_operator_policy", "kept-too", "^s111", '{"message-ttl":60000}')
    mortal.ctl("set_vhost_limits", '{"max-queues":50}')
    mortal.ctl("set_user_limits", "guest", '{"max-channels":90}')
    with mortal.connect() as connection:
        queue(connection.channel(), "s111", durable=True)
    mortal.crash_and_restart()
    with mortal.connect() as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for body in ["one", "two"]:
            channel.basic_publish("", "s111", body, pika.BasicProperties(delivery_mode=2))
        assert drain(channel, "s111") == ["two"]
        channel.queue_delete("s111")
    assert '"max-queues":50' in mortal.ctl("list_vhost_limits")
    assert '"max-channels":90' in mortal.ctl("list_user_limits")
    for command in ["clear_vhost_limits", "clear_policy kept", "clear_operator_policy kept-too"]:
        mortal.ctl(*command.split())
    mortal.ctl("clear_user_limits", "guest", "all")
