"""Call the server: client.py [CALLS]. Prints each reply."""

import json
import os
import sys
import time
import uuid

import pika

calls = int(sys.argv[1]) if len(sys.argv) > 1 else 1
url = os.environ.get("AMQP_URL", "amqp://rpc_user:rpcme@localhost")
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()

# A queue of our own: nobody else may read it, and it goes when we do.
reply_queue = channel.queue_declare("", exclusive=True, auto_delete=True).method.queue

waiting = set()
for _ in range(calls):
    call = str(uuid.uuid4())
    waiting.add(call)
    body = json.dumps({"client": "RPC client 1.0", "sent": time.time()})
    properties = pika.BasicProperties(content_type="application/json", reply_to=reply_queue, correlation_id=call)
    channel.basic_publish("rpc", "ping", body, properties)

# Replies that came before we listen are kept in the queue.
for method, properties, body in channel.consume(reply_queue, auto_ack=True):
    waiting.discard(properties.correlation_id)
    print("reply", body.decode(), flush=True)
    if not waiting:
        break
connection.close()
