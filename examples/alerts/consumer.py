"""Send alerts on by mail: one consumer for critical ones, one for rate limits, on one channel."""

import json
import os
import smtplib
from email.message import EmailMessage

import pika

MAIL_HOST = os.environ.get("SMTP_HOST", "localhost")
MAIL_PORT = int(os.environ.get("SMTP_PORT", "25"))

# queue and consumer tag: binding key, who is told
RULES = {
    "critical": ("critical.*", "ops.team@ourcompany.example"),
    "rate_limit": ("*.rate_limit", "api.team@ourcompany.example"),
}


def mail(channel, method, properties, body):
    _, recipient = RULES[method.consumer_tag]
    message = EmailMessage()
    message["From"] = "alerts@ourcompany.example"
    message["To"] = recipient
    message["Subject"] = f"alert: {method.routing_key}"
    message.set_content(json.loads(body))
    with smtplib.SMTP(MAIL_HOST, MAIL_PORT) as smtp:
        smtp.send_message(message)
    # Only now is the alert handled: had we crashed before, another consumer would get it.
    channel.basic_ack(method.delivery_tag)


url = os.environ.get("AMQP_URL", "amqp://alert_user:alertme@localhost")
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.exchange_declare("alerts", exchange_type="topic")
for queue, (binding_key, _) in RULES.items():
    channel.queue_declare(queue)
    channel.queue_bind(queue, "alerts", binding_key)
    channel.basic_consume(queue, mail, consumer_tag=queue)
print("waiting for alerts")
channel.start_consuming()
