"""Answer pings. Start as many as needed: they share the calls, and a crashed one's calls go to another."""

import json
import os

import pika


def pong(channel, method, properties, body):
    channel.basic_ack(method.delivery_tag)
    ping = json.loads(body)
    print("ping from", ping["client"], flush=True)
    reply = json.dumps({"pong": ping["sent"], "server": os.getpid()})
    # Every queue is bound to the default exchange "" by its own name: that is how the reply finds the caller.
    channel.basic_publish("", properties.reply_to, reply, pika.BasicProperties(correlation_id=properties.correlation_id))


url = os.environ.get("AMQP_URL", "amqp://rpc_user:rpcme@localhost")
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.exchange_declare("rpc", exchange_type="direct")
channel.queue_declare("ping")
channel.queue_bind("ping", "rpc", "ping")
channel.basic_qos(prefetch_count=1)
channel.basic_consume("ping", pong, consumer_tag="ping")
print("waiting for calls")
channel.start_consuming()
