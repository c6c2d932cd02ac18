"""The life of queues: who may use them, and when they go."""

from tools import collect, drain, gone, queue, ready, receive, refused, run, wait_until


def test_s12_a_queue_goes_with_its_last_consumer_if_asked(connect, channel):
    queue(channel, "s12", auto_delete=True)
    assert not gone(connect, "s12"), "it never had a consumer"
    other = connect().channel()
    first, second = collect(channel, "s12", []), collect(other, "s12", [])
    channel.basic_cancel(first)
    assert not gone(connect, "s12")
    other.basic_cancel(second)
    assert gone(connect, "s12")


def test_s12_declare_bind_and_ack(channel):
    channel.exchange_declare("s12", "direct")
    queue(channel, "s12.durable", ("s12", "key"), durable=True)
    channel.basic_publish("s12", "key", "body")
    method, _, _ = channel.basic_get("s12.durable")
    channel.basic_ack(method.delivery_tag)
    channel.basic_recover(requeue=True)
    assert ready(channel, "s12.durable") == 0


def test_s50_a_durable_queue_may_be_auto_delete(connect, channel, url):
    """php-amqplib's queue_declare asks for auto-delete unless told otherwise."""
    program = """
        require 'PhpAmqpLib/autoload.php';
        $url = parse_url(getenv('AMQP_URL'));
        $connection = new PhpAmqpLib\\Connection\\AMQPStreamConnection(
            $url['host'], $url['port'], $url['user'], $url['pass'], substr($url['path'], 1));
        $channel = $connection->channel();
        $channel->exchange_declare('s50', 'fanout', false, true, false);
        $channel->queue_declare('s50', false, true, false);
        $channel->queue_bind('s50', 's50');
        echo "declared";
    """
    assert run("php", "-r", program, AMQP_URL=url) == "declared"
    queue(channel, "s50", durable=True, auto_delete=True)
    channel.basic_publish("s50", "", "body")
    assert len(receive(channel, "s50", 1)) == 1
    assert gone(connect, "s50")


def test_s62_every_queue_is_bound_to_the_default_exchange(channel):
    name = queue(channel, "", exclusive=True)
    channel.basic_publish("", name, "by its name")
    assert drain(channel, name) == ["by its name"]
    with refused(403, "operation not permitted on the default exchange"):
        channel.queue_unbind(name, "", name)


def test_s63_an_exclusive_queue_is_its_connections_alone_but_all_may_publish(connect, channel):
    name = queue(channel, "s63", exclusive=True)
    locked = f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{name}' in vhost 'behaviours'"
    forbidden = [
        lambda other: other.basic_consume(name, print),
        lambda other: other.basic_get(name),
        lambda other: other.queue_purge(name),
        lambda other: other.queue_delete(name),
        lambda other: other.queue_bind(name, "amq.direct", "key"),
        lambda other: other.queue_declare(name),
        lambda other: other.queue_declare(name, passive=True),
    ]
    other = connect()
    for action in forbidden:
        with refused(405, locked):
            action(other.channel())
    publisher = other.channel()
    publisher.confirm_delivery()
    publisher.basic_publish("", name, "reply")
    assert drain(channel, name) == ["reply"]


def test_s64_a_reply_queue_goes_with_its_consumer_or_its_connection(connect):
    caller = connect()
    channel = caller.channel()
    cancelled = queue(channel, "", exclusive=True, auto_delete=True)
    channel.basic_cancel(collect(channel, cancelled, []))
    assert gone(connect, cancelled)
    closed = queue(channel, "", exclusive=True, auto_delete=True)
    caller.close()
    assert gone(connect, closed)


def test_s64_a_deleted_queue_tells_its_consumers(connect, channel):
    queue(channel, "s64")
    consumer = connect().channel()
    told = []
    consumer.add_on_cancel_callback(lambda frame: told.append(frame.method.consumer_tag))
    tag = collect(consumer, "s64", [])
    channel.queue_delete("s64")
    wait_until(lambda: told, consumer.connection)
    assert told == [tag]
