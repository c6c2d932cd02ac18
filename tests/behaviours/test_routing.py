"""Which queues get a copy: exchanges of every type, bindings, and who may come and go."""

import pika
import pytest

from tools import collect, drain, queue, ready, receive, refused, wait_until


def test_s08_s61_every_instance_has_an_anonymous_queue_and_gets_every_message(connect, channel):
    channel.exchange_declare("s08", "fanout")
    instances = [connect().channel() for _ in range(3)]
    names = [queue(instance, "", ("s08", ""), exclusive=True) for instance in instances]
    assert all(name.startswith("amq.gen-") for name in names)
    assert len(set(names)) == 3
    for word in ["hello", "world"]:
        channel.basic_publish("s08", "", word)
    assert [drain(instance, name) for instance, name in zip(instances, names)] == [["hello", "world"]] * 3


@pytest.mark.parametrize("arguments, headers, matches", [
    ({"x-match": "all", "format": "pdf", "pages": 2}, {"format": "pdf", "pages": 2, "more": 1}, True),
    ({"x-match": "all", "format": "pdf", "pages": 2}, {"format": "pdf"}, False),
    ({"x-match": "any", "format": "pdf", "pages": 2}, {"format": "pdf", "pages": 3}, True),
    ({"x-match": "any", "format": "pdf", "pages": 2}, {"format": "png", "pages": 3}, False),
    ({"format": "pdf"}, {"format": "png"}, False),
    ({"format": None}, {"format": "anything"}, True),
])
def test_s10_headers_decide(channel, arguments, headers, matches):
    channel.exchange_declare("s10", "headers", auto_delete=True)
    name = queue(channel, "", ("s10", "", arguments), exclusive=True)
    channel.basic_publish("s10", "ignored", "body", pika.BasicProperties(headers=headers))
    assert drain(channel, name) == (["body"] if matches else [])
    channel.queue_delete(name)


@pytest.mark.parametrize("kind", ["direct", "fanout", "topic", "headers"])
@pytest.mark.parametrize("durable", [False, True])
def test_s11_exchanges_are_deleted_with_their_last_binding_if_asked(connect, channel, kind, durable):
    channel.exchange_declare("s11", kind, durable=durable, auto_delete=True)
    name = queue(channel, "", ("s11", "one"), ("s11", "two"), exclusive=True)
    channel.queue_unbind(name, "s11", "one")
    channel.exchange_declare("s11", passive=True)
    channel.queue_unbind(name, "s11", "two")
    with refused(404, "no exchange 's11'"):
        channel.exchange_declare("s11", passive=True)


def test_s13_declaring_again_is_harmless_if_equal_and_refused_if_not(connect, channel):
    for declarer in [channel, connect().channel()]:
        declarer.exchange_declare("s13", "topic", durable=True)
        declarer.queue_declare("s13", durable=True)
    with refused(406, "inequivalent arg 'durable' for queue 's13' in vhost 'behaviours': "
                      "received 'false' but current is 'true'"):
        connect().channel().queue_declare("s13")
    with refused(406, "inequivalent arg 'type' for exchange 's13' in vhost 'behaviours': "
                      "received 'fanout' but current is 'topic'"):
        connect().channel().exchange_declare("s13", "fanout", durable=True)
    with refused(406, "inequivalent arg 'auto_delete' for queue 's13'"):
        connect().channel().queue_declare("s13", durable=True, auto_delete=True)


def test_s18_subscribers_come_and_go_without_disturbing_others(connect, channel):
    channel.exchange_declare("s18", "topic")
    first = queue(channel, "s18.first", ("s18", "stock.*"))
    channel.basic_publish("s18", "stock.acme", "1")
    other = connect().channel()
    second = queue(other, "", ("s18", "#"), exclusive=True)
    channel.basic_publish("s18", "stock.acme", "2")
    assert drain(other, second) == ["2"]
    other.connection.close()
    channel.basic_publish("s18", "stock.acme", "3")
    assert drain(channel, first) == ["1", "2", "3"]


def test_s22_one_order_event_serves_three_departments(channel):
    channel.exchange_declare("s22.orders", "fanout")
    departments = ["payment", "inventory", "shipment"]
    for department in departments:
        queue(channel, f"s22.{department}", ("s22.orders", ""))
    channel.basic_publish("s22.orders", "", "order 1")
    assert [drain(channel, f"s22.{department}") for department in departments] == [["order 1"]] * 3


def test_s22_many_sensors_feed_several_services(connect, channel):
    channel.exchange_declare("s22.sensors", "topic")
    queue(channel, "s22.heating", ("s22.sensors", "*.temperature"))
    queue(channel, "s22.archive", ("s22.sensors", "#"))
    for sensor in range(30):
        connection = connect()
        device = connection.channel()
        device.basic_publish("s22.sensors", f"{sensor}.temperature", str(sensor))
        device.basic_publish("s22.sensors", f"{sensor}.humidity", str(sensor))
        connection.close()
    assert sorted(map(int, drain(channel, "s22.heating"))) == list(range(30))
    assert ready(channel, "s22.archive") == 60


def test_s33_s34_s38_transient_objects_stay_after_their_users(connect):
    """Neither durable nor exclusive nor auto-delete: accepted, and there until deleted or until the broker stops."""
    first = connect()
    channel = first.channel()
    channel.exchange_declare("s34", "topic", auto_delete=False)
    queue(channel, "s34", ("s34", "#"), auto_delete=False)
    channel.basic_consume("s34", lambda *_: None)
    first.close()
    channel = connect().channel()
    channel.exchange_declare("s34", passive=True)
    channel.basic_publish("s34", "key", "body")
    assert drain(channel, "s34") == ["body"]


@pytest.mark.parametrize("key, critical, rate_limit", [
    ("critical.rate_limit", 1, 1),
    ("critical.mywebapp", 1, 0),
    ("info.rate_limit", 0, 1),
    ("critical", 0, 0),
    ("critical.a.b", 0, 0),
    ("criticalx", 0, 0),
    ("criticalx.rate_limit", 0, 1),
    ("critical.", 1, 0),
    ("", 0, 0),
])
def test_s35_s36_topic_rules(channel, key, critical, rate_limit):
    channel.exchange_declare("alerts", "topic")
    queue(channel, "critical", ("alerts", "critical.*"))
    queue(channel, "rate_limit", ("alerts", "*.rate_limit"))
    channel.basic_publish("alerts", key, "alert")
    assert (len(drain(channel, "critical")), len(drain(channel, "rate_limit"))) == (critical, rate_limit)


def test_s35_a_star_inside_a_word_is_only_itself(channel):
    channel.exchange_declare("alerts", "topic")
    queue(channel, "literal", ("alerts", "critical*"))
    channel.basic_publish("alerts", "criticalx", "no")
    channel.basic_publish("alerts", "critical*", "yes")
    assert drain(channel, "literal") == ["yes"]


def test_s36_unroutable_messages_are_dropped_or_returned(connect, channel):
    channel.exchange_declare("s36", "topic")
    connect().channel().basic_publish("s36", "nobody", "dropped")
    channel.basic_publish("s36", "nobody", "dropped")
    with pytest.raises(pika.exceptions.UnroutableError) as raised:
        channel.basic_publish("s36", "nobody", "returned", mandatory=True)
    [returned] = raised.value.messages
    assert (returned.method.reply_code, returned.method.reply_text) == (312, "NO_ROUTE")
    assert (returned.method.routing_key, returned.body) == ("nobody", b"returned")


def test_s37_a_log_of_everything_can_be_added_later(channel):
    channel.exchange_declare("s37", "topic")
    queue(channel, "s37.critical", ("s37", "critical.*"))
    channel.basic_publish("s37", "critical.one", "1")
    queue(channel, "s37.log", ("s37", "*.*"))
    for number, key in enumerate(["critical.two", "info.x", "one-word", "a.b.c"], start=2):
        channel.basic_publish("s37", key, str(number))
    assert drain(channel, "s37.log") == ["2", "3"]
    assert drain(channel, "s37.critical") == ["1", "2"]


def test_s51_fanout_ignores_keys_and_gives_each_queue_one_copy(channel):
    channel.exchange_declare("s51", "fanout", durable=True)
    names = ["s51.resize-picture", "s51.add-points", "s51.notify-friends"]
    for name in names:
        queue(channel, name, ("s51", ""), ("s51", "again"), durable=True)
    channel.basic_publish("s51", "", "1")
    queue(channel, "s51.log", ("s51", ""), durable=True)
    channel.basic_publish("s51", "any key", "2")
    assert [drain(channel, name) for name in names] == [["1", "2"]] * 3
    assert drain(channel, "s51.log") == ["2"]


def test_s54_a_message_goes_to_one_exchange_then_to_none_one_or_several_queues(channel):
    for exchange in ["s54.this", "s54.other"]:
        channel.exchange_declare(exchange, "direct")
    one = queue(channel, "s54.one", ("s54.this", "single"), ("s54.this", "both"))
    two = queue(channel, "s54.two", ("s54.this", "both"), ("s54.other", "single"))
    for key in ["none", "single", "both"]:
        channel.basic_publish("s54.this", key, key)
    assert (drain(channel, one), drain(channel, two)) == (["single", "both"], ["both"])


def test_s55_a_spy_leaves_no_trace(broker, connect, channel):
    channel.exchange_declare("s55", "fanout")
    queue(channel, "s55", ("s55", ""))
    before = broker.ctl("list_bindings", "-p", "behaviours")
    spy = connect()
    spying = spy.channel()
    name = queue(spying, "", ("s55", ""), auto_delete=True)
    seen = []
    tag = collect(spying, name, seen, auto_ack=True)
    channel.basic_publish("s55", "", "secret")
    wait_until(lambda: seen, spy)
    spying.basic_cancel(tag)
    with refused(404):
        spying.queue_declare(name, passive=True)
    assert sorted(broker.ctl("list_bindings", "-p", "behaviours").split()) == sorted(before.split())
    assert drain(channel, "s55") == ["secret"]


def test_s56_two_resizers_share_while_points_see_all(connect, channel):
    channel.exchange_declare("s56", "fanout")
    queue(channel, "s56.resize-picture", ("s56", ""))
    queue(channel, "s56.add-points", ("s56", ""))
    workers, got = [connect(), connect()], [[], []]
    for worker, mine in zip(workers, got):
        collect(worker.channel(), "s56.resize-picture", mine, auto_ack=True)
    for number in range(10):
        channel.basic_publish("s56", "", str(number))
    wait_until(lambda: len(got[0]) + len(got[1]) == 10, *workers)
    assert [len(mine) for mine in got] == [5, 5]
    assert len(receive(channel, "s56.add-points", 10, auto_ack=True)) == 10
