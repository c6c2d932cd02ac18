"""Users, permissions and virtual hosts."""

import pytest

from conftest import VHOST
from tools import drain, queue, ready, refused


def test_s14_virtual_hosts_are_worlds_apart(broker, channel):
    broker.ctl("delete_vhost", "other", check=False)
    broker.ctl("add_vhost", "other")
    try:
        with refused(530, "access to vhost 'other' refused for user 'guest'"):
            broker.connect("other")
        broker.ctl("set_permissions", "-p", "other", "guest", ".*", ".*", ".*")
        with broker.connect("other") as connection:
            other = connection.channel()
            for each in [channel, other]:
                queue(each, "s14")
            channel.basic_publish("", "s14", "here")
            assert (ready(channel, "s14"), ready(other, "s14")) == (1, 0)
    finally:
        broker.ctl("delete_vhost", "other")
    with refused(530, "vhost other not found"):
        broker.connect("other")


def test_s30_s31_s32_a_user_is_made_on_the_command_line(broker):
    broker.ctl("delete_user", "alert_user", check=False)
    # RabbitMQ has said both.
    said = broker.ctl("add_user", "alert_user", "alertme")
    assert any(f'{word} user "alert_user" ...' in said for word in ["Creating", "Adding"])
    said = broker.ctl("set_permissions", "alert_user", ".*", ".*", ".*")
    assert 'Setting permissions for user "alert_user" in vhost "/" ...' in said
    with broker.connect("/", "alert_user", "alertme") as connection:
        assert connection.channel().is_open
    with refused(403, "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN"):
        broker.connect("/", "alert_user", "wrong")
    broker.ctl("delete_user", "alert_user")


@pytest.mark.parametrize("action, words", [
    (lambda channel: channel.queue_declare("other"), "configure access to queue 'other' in vhost"),
    (lambda channel: channel.exchange_declare("other"), "configure access to exchange 'other' in vhost"),
    (lambda channel: channel.queue_bind("s31", "amq.topic", "#"), "read access to exchange 'amq.topic' in vhost"),
    (lambda channel: channel.basic_get("other"), "read access to queue 'other' in vhost"),
    (lambda channel: channel.queue_purge("other"), "read access to queue 'other' in vhost"),
])
def test_s31_permissions_are_configure_write_read(user, connect, action, words):
    user("limited", "secret", "^s31", "^s31", "^s31")
    channel = connect("limited", "secret").channel()
    channel.queue_declare("s31")
    channel.basic_get("s31")
    with refused(403, "ACCESS_REFUSED"):
        action(channel)


def test_s69_the_default_exchange_has_a_permission_of_its_own(user, connect, channel):
    queue(channel, "s69")
    user("rpc_user", "rpcme", ".*", "^(rpc|amq\\.default)$", ".*")
    allowed = connect("rpc_user", "rpcme").channel()
    allowed.confirm_delivery()
    allowed.basic_publish("", "s69", "reply")
    assert drain(channel, "s69") == ["reply"]
    user("mute_user", "muteme", ".*", "^rpc$", ".*")
    refused_channel = connect("mute_user", "muteme").channel()
    refused_channel.confirm_delivery()
    with refused(403, f"to exchange 'amq.default' in vhost '{VHOST}' refused for user 'mute_user'"):
        refused_channel.basic_publish("", "s69", "reply")
