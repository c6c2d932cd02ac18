"""Clients that connect with TLS: with and without a certificate of their own, and what operators see of them."""

import os
import socket
import ssl
import urllib.request
from contextlib import suppress

import pika
import pytest
import trustme

from broker import free_port, given_broker
from flood import FULL, KIB, PATIENCE_S, resident, seen, works
from tools import PERSISTENT, drain, queue

pytestmark = pytest.mark.skipif(given_broker() is not None, reason="it wants certificates that are made here")


class Secured:
    """A broker with TLS, and who signs for it and its clients."""

    def __init__(self, own, directory, *flags):
        self.authority = trustme.CA()
        self.directory, self.port, self.https_port = directory, free_port(), free_port()
        server = self.authority.issue_cert("localhost")
        server.private_key_pem.write_to_path(directory / "key.pem")
        for number, pem in enumerate(server.cert_chain_pems):
            pem.write_to_path(directory / "cert.pem", append=number > 0)
        self.authority.cert_pem.write_to_path(directory / "ca.pem")
        self.broker = own(
            "--tls-listen", f"127.0.0.1:{self.port}", "--https-listen", f"127.0.0.1:{self.https_port}",
            "--tls-cert", str(directory / "cert.pem"), "--tls-key", str(directory / "key.pem"),
            "--tls-ca", str(directory / "ca.pem"), *flags,
        )

    def context(self, name=None):
        """What a client trusts, and its certificate if it has a name."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        if name:
            client = self.authority.issue_cert("client.example", common_name=name, organization_name="Example")
            client.configure_cert(context)
        return context

    def connect(self, name=None, credentials=pika.PlainCredentials("guest", "guest"), **options):
        tls = pika.SSLOptions(self.context(name), "localhost")
        return pika.BlockingConnection(
            pika.ConnectionParameters("127.0.0.1", self.port, "/", credentials, ssl_options=tls, **options)
        )


def test_messages_go_over_tls_and_are_confirmed(own, tmp_path):
    secured = Secured(own, tmp_path)
    with secured.connect() as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        queue(channel, "q", durable=True)
        # Around the sizes of frames and of TLS records, and more than a socket takes at once.
        bodies = [os.urandom(size).hex() for size in (0, 1, 8_000, 8_192, 65_536, 3_000_000)]
        for body in bodies:
            channel.basic_publish("", "q", body, PERSISTENT, mandatory=True)
        assert drain(channel, "q") == bodies
        for row in secured.broker.ctl("-q", "list_connections", "ssl", "ssl_protocol", "ssl_cipher").splitlines():
            assert "true" in row.lower() or row.startswith("ssl"), row
        assert "tlsv1.3" in secured.broker.ctl("list_connections", "ssl_protocol")
    # What was confirmed over TLS is on disk like everything else.
    channel = secured.connect().channel()
    channel.confirm_delivery()
    channel.basic_publish("", "q", "kept", PERSISTENT)
    secured.broker.crash_and_restart()
    with secured.connect() as connection:
        assert drain(connection.channel(), "q") == ["kept"]


def test_a_consumer_over_tls_takes_a_flood(own, tmp_path):
    secured = Secured(own, tmp_path)
    connection = secured.connect()
    channel = connection.channel()
    queue(channel, "q")
    publisher = secured.connect()
    publishing = publisher.channel()
    count, body = 2_000, "x" * 10_000
    for _ in range(count):
        publishing.basic_publish("", "q", body)
    publisher.close()
    got = 0
    for method, _, said in channel.consume("q", inactivity_timeout=20):
        assert method and said == body.encode()
        channel.basic_ack(method.delivery_tag)
        got += 1
        if got == count:
            break
    channel.cancel()
    connection.close()


def test_external_logs_in_by_certificate(own, tmp_path):
    secured = Secured(own, tmp_path, "--tls-verify", "verify_peer", "--ssl-cert-login-from", "common_name")
    secured.broker.ctl("add_user", "teller", "unused")
    secured.broker.ctl("set_permissions", "teller", ".*", ".*", ".*")
    external = pika.credentials.ExternalCredentials()
    with secured.connect("teller", external) as connection:
        assert connection.channel().is_open
        listed = secured.broker.ctl("list_connections", "user", "peer_cert_subject")
        assert "teller\tCN=teller" in listed, listed
    with pytest.raises(pika.exceptions.AMQPError):
        secured.connect("nobody", external)
    with pytest.raises(pika.exceptions.AMQPError):
        secured.connect(None, external)


def test_a_client_without_a_certificate_is_refused_where_one_must_be(own, tmp_path):
    secured = Secured(own, tmp_path, "--tls-verify", "verify_peer", "--tls-fail-if-no-peer-cert", "true")
    with pytest.raises((pika.exceptions.AMQPError, OSError)):
        secured.connect()
    secured.connect("anybody").close()


def test_s2_handshakes_that_stop_cost_little_and_disturb_nobody(own, tmp_path):
    secured = Secured(own, tmp_path)
    works(secured.broker)
    secured.connect().close()
    before, count = resident(secured.broker), 5000 if FULL else 700
    begun = [socket.create_connection(("127.0.0.1", secured.port)) for _ in range(count)]
    for client in begun:
        client.sendall(b"\x16\x03\x01\x02\x00\x01")  # the head of a hello, and its first byte
    secured.connect().close()
    seen("S2 memory for each handshake that stopped", f"{(resident(secured.broker) - before) / count / KIB:.1f} KiB")
    assert resident(secured.broker) - before < count * 24 * KIB
    for client in begun:
        client.settimeout(PATIENCE_S)
        with suppress(ConnectionResetError):
            assert client.recv(1) == b"", "the broker closes it"
        client.close()


def test_http_is_served_over_tls(own, tmp_path):
    secured = Secured(own, tmp_path)
    url = f"https://localhost:{secured.https_port}/metrics"
    with urllib.request.urlopen(url, context=secured.context()) as answer:
        assert b"ledgermq_" in answer.read()
