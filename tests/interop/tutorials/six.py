"""RabbitMQ's six tutorials in Python: a word, work for several, a broadcast, routing, topics, and calls."""

import os
import sys
import threading
import traceback
import uuid

import pika

URL = os.environ["INTEROP_URL"]


def connected():
    return pika.BlockingConnection(pika.URLParameters(URL))


def named(name):
    return f"{name}-{uuid.uuid4().hex[:8]}"


def take(channel, queue, count):
    """The next bodies of a queue, acknowledged."""
    bodies = []
    for method, _, body in channel.consume(queue):
        channel.basic_ack(method.delivery_tag)
        bodies.append(body.decode())
        if len(bodies) == count:
            channel.cancel()
            return bodies


def listener(channel, exchange, keys):
    """A queue of its own, bound with these keys."""
    queue = channel.queue_declare("", exclusive=True).method.queue
    for key in keys:
        channel.queue_bind(queue, exchange, key)
    return queue


def hello():
    queue = named("hello")
    with connected() as sender:
        channel = sender.channel()
        channel.queue_declare(queue)
        channel.basic_publish("", queue, "Hello World!")
    with connected() as receiver:
        channel = receiver.channel()
        channel.queue_declare(queue)
        assert take(channel, queue, 1) == ["Hello World!"]
        channel.queue_delete(queue)


def work_queues():
    """A slow worker with one task at a time leaves the others to a quick one; the task of one that dies is done by the other."""
    queue = named("task_queue")
    boss, slow, quick = connected(), connected(), connected()
    channel = boss.channel()
    channel.queue_declare(queue, durable=True)
    workers = {}
    for name, connection in ("slow", slow), ("quick", quick):
        workers[name] = connection.channel()
        workers[name].basic_qos(prefetch_count=1)
    held = []
    workers["slow"].basic_consume(queue, lambda _, method, __, body: held.append(body.decode()))
    for number in range(6):
        channel.basic_publish("", queue, f"task {number}", pika.BasicProperties(delivery_mode=2))
        while not held:
            slow.process_data_events(0.1)
    assert take(workers["quick"], queue, 5) == [f"task {number}" for number in range(1, 6)]
    slow.close()
    assert take(workers["quick"], queue, 1) == held == ["task 0"]
    channel.queue_delete(queue)
    boss.close()
    quick.close()


def publish_subscribe():
    logs = named("logs")
    with connected() as connection:
        channel = connection.channel()
        channel.exchange_declare(logs, "fanout", auto_delete=True)
        channel.basic_publish(logs, "", "before anybody listens")
        screens = [listener(channel, logs, [""]) for _ in range(3)]
        channel.basic_publish(logs, "ignored", "info: Hello World!")
        for screen in screens:
            assert take(channel, screen, 1) == ["info: Hello World!"]


def routing():
    logs = named("direct_logs")
    with connected() as connection:
        channel = connection.channel()
        channel.exchange_declare(logs, "direct", auto_delete=True)
        disk, screen = listener(channel, logs, ["error"]), listener(channel, logs, ["info", "warning", "error"])
        for severity in "info", "debug", "error", "warning":
            channel.basic_publish(logs, severity, severity)
        assert take(channel, screen, 3) == ["info", "error", "warning"]
        assert take(channel, disk, 1) == ["error"]
        assert channel.basic_get(disk)[0] is None and channel.basic_get(screen)[0] is None


def topics():
    logs = named("topic_logs")
    expected = {
        "#": ["kern.critical", "kern", "auth.info.user", "cron.critical"],
        "kern.*": ["kern.critical"],
        "*.critical": ["kern.critical", "cron.critical"],
        "auth.#": ["auth.info.user"],
    }
    with connected() as connection:
        channel = connection.channel()
        channel.exchange_declare(logs, "topic", auto_delete=True)
        queues = {pattern: listener(channel, logs, [pattern]) for pattern in expected}
        for key in expected["#"]:
            channel.basic_publish(logs, key, key)
        for pattern, keys in expected.items():
            assert take(channel, queues[pattern], len(keys)) == keys, pattern
            assert channel.basic_get(queues[pattern])[0] is None, pattern


def rpc():
    queue = named("rpc_queue")
    ready = threading.Event()

    def serve():
        with connected() as connection:
            channel = connection.channel()
            channel.queue_declare(queue, auto_delete=True)
            channel.basic_qos(prefetch_count=1)
            calls = channel.consume(queue)
            ready.set()
            for _ in range(8):
                method, properties, body = next(calls)
                reply = pika.BasicProperties(correlation_id=properties.correlation_id)
                channel.basic_publish("", properties.reply_to, str(fibonacci(int(body))), reply)
                channel.basic_ack(method.delivery_tag)

    server = threading.Thread(target=serve)
    server.start()
    ready.wait()
    with connected() as connection:
        channel = connection.channel()
        replies = channel.queue_declare("", exclusive=True).method.queue
        asked = {str(uuid.uuid4()): number for number in range(10, 18)}
        for call, number in asked.items():
            channel.basic_publish("", queue, str(number), pika.BasicProperties(reply_to=replies, correlation_id=call))
        answers = {}
        for _, properties, body in channel.consume(replies, auto_ack=True):
            answers[properties.correlation_id] = int(body)
            if len(answers) == len(asked):
                break
        assert answers == {call: fibonacci(number) for call, number in asked.items()}
    server.join()


def fibonacci(number):
    return number if number < 2 else fibonacci(number - 1) + fibonacci(number - 2)


failed = False
for tutorial in hello, work_queues, publish_subscribe, routing, topics, rpc:
    name = f"Python, {tutorial.__name__.replace('_', ' ')}"
    try:
        tutorial()
        print(f"ok {name}", flush=True)
    except Exception as error:
        failed = True
        print(f"not ok {name}: {error!r}", flush=True)
        traceback.print_exc()
sys.exit(failed)
