"""Raise an alert: producer.py -r critical.rate_limit -m "mywebapp is over its limit"."""

import argparse
import json
import os

import pika

parser = argparse.ArgumentParser()
parser.add_argument("-r", "--routing-key", required=True, help="severity.kind, such as critical.rate_limit")
parser.add_argument("-m", "--message", required=True)
args = parser.parse_args()

url = os.environ.get("AMQP_URL", "amqp://alert_user:alertme@localhost")
with pika.BlockingConnection(pika.URLParameters(url)) as connection:
    channel = connection.channel()
    channel.exchange_declare("alerts", exchange_type="topic")
    properties = pika.BasicProperties(content_type="application/json")
    channel.basic_publish("alerts", args.routing_key, json.dumps(args.message), properties)
