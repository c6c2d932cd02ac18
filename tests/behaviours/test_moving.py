"""`ledgermq ctl move_messages` between two brokers of our own: what it does with queues that cannot be emptied. (The walk from a
RabbitMQ, and what happens when something dies on the way: test_migration.py.)
"""

import json
import subprocess

import pika
import pytest
import trustme

from broker import BINARY, ENVIRONMENT, OwnBroker, free_port, given_broker
from tools import drain, ready

pytestmark = pytest.mark.skipif(given_broker() is not None, reason="messages are moved between brokers of our own")


@pytest.fixture(scope="module")
def ends():
    source, target = OwnBroker(), OwnBroker()
    yield source, target
    source.stop()
    target.stop()


def move(target, *arguments, say=None):
    """The exit code, the rows by queue, and what was said besides."""
    done = subprocess.run(
        [BINARY, "ctl", "--formatter", "json", "move_messages", *arguments],
        env=ENVIRONMENT | {"LEDGERMQ_DATA_DIR": str(target.data_dir)}, input=say, capture_output=True, text=True,
    )
    rows = json.loads(done.stdout) if done.stdout else []
    return done.returncode, {row["name"]: row for row in rows}, done.stderr


def declare(broker, name, durable=True, **arguments):
    with broker.connect() as connection:
        connection.channel().queue_declare(name, durable=durable, arguments=arguments)


def publish(broker, name, *bodies, **properties):
    with broker.connect() as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for body in bodies:
            channel.basic_publish("", name, body, pika.BasicProperties(**properties))


def bodies(broker, name):
    with broker.connect() as connection:
        return drain(connection.channel(), name)


def test_queues_that_cannot_be_moved_are_named(ends):
    source, target = ends
    for broker in ends:
        declare(broker, "full", **{} if broker is source else {"x-max-length": 2, "x-overflow": "reject-publish"})
        declare(broker, "log", **{"x-queue-type": "stream"})
        declare(broker, "fine")
    declare(source, "only at the source")
    declare(target, "only at the target")
    publish(source, "full", "1", "2", "3", "4")
    publish(source, "fine", "a", "b")
    publish(source, "only at the source", "x")

    code, rows, _ = move(target, source.url("/"))
    assert code == 65
    assert (rows["fine"]["moved"], rows["fine"]["trouble"]) == (2, "")
    assert rows["full"]["moved"] == 2 and "the queue is full" in rows["full"]["trouble"]
    assert "a stream is not moved" in rows["log"]["trouble"]
    assert rows.keys() == {"fine", "full", "log"}
    # What was refused is where it was, in its order.
    assert bodies(source, "full") == ["3", "4"] and bodies(target, "full") == ["1", "2"]

    code, rows, said = move(target, source.url("/"), "--queue", "only at the source", "--queue", "only at the target")
    assert code == 65
    assert "404" in rows["only at the source"]["trouble"] and "import_definitions" in rows["only at the source"]["trouble"]
    assert rows["only at the target"]["trouble"].startswith("source: 404")
    assert bodies(source, "only at the source") == ["x"]


def test_a_claimed_user_needs_an_impersonator(ends):
    source, target = ends
    for broker in ends:
        declare(broker, "claims")
        broker.ctl("add_user", "carrier", "pw")
        broker.ctl("set_permissions", "carrier", ".*", ".*", ".*")
    publish(source, "claims", "mine", user_id="guest")
    uri = source.url("/").replace("guest:guest", "carrier:pw")
    code, rows, _ = move(target, uri, "--queue", "claims")
    assert code == 65 and "impersonator" in rows["claims"]["trouble"], rows
    target.ctl("set_user_tags", "carrier", "impersonator")
    code, rows, _ = move(target, uri, "--queue", "claims")
    assert code == 0 and rows["claims"]["moved"] == 1
    assert bodies(target, "claims") == ["mine"]


def test_a_message_too_large_for_the_target_stays(ends, own):
    source, _ = ends
    small = own("--message-bytes-max", "1MiB")
    for broker in (source, small):
        declare(broker, "large")
    publish(source, "large", b"small", b"x" * 1_500_000, b"behind")
    code, rows, _ = move(small, source.url("/"), "--queue", "large")
    assert code == 65 and "message_bytes_max" in rows["large"]["trouble"], rows
    with source.connect() as connection:
        assert ready(connection.channel(), "large") >= 2
    assert bodies(small, "large") in (["small"], [])


def test_who_may_not_and_where_nobody_is(ends):
    source, target = ends
    code, rows, said = move(target, source.url("/").replace("guest:guest", "guest:wrong"))
    assert code == 70 and "source: the broker closed the connection: 403 ACCESS_REFUSED" in said, said
    code, rows, said = move(target, "amqp://127.0.0.1:1")
    assert code == 69 and "source: no connection to 127.0.0.1:1" in said, said
    code, rows, said = move(target, "http://127.0.0.1")
    assert code == 64 and "is no amqp:// URI" in said, said
    assert not rows


def test_the_uri_may_come_from_standard_input(ends):
    source, target = ends
    for broker in ends:
        declare(broker, "quiet")
    publish(source, "quiet", "1")
    code, rows, _ = move(target, "-", "--queue", "quiet", say=source.url("/") + "\n")
    assert code == 0 and rows["quiet"]["moved"] == 1


def test_following_moves_what_comes_until_it_is_interrupted(ends):
    source, target = ends
    for broker in ends:
        declare(broker, "stream of news")
    mover = subprocess.Popen(
        [BINARY, "ctl", "move_messages", source.url("/"), "--queue", "stream of news", "--follow"],
        env=ENVIRONMENT | {"LEDGERMQ_DATA_DIR": str(target.data_dir)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )
    with target.connect() as connection:
        channel = connection.channel()
        for number in range(1, 4):
            publish(source, "stream of news", str(number))
            while ready(channel, "stream of news") < number:
                assert mover.poll() is None
    mover.terminate()
    said, _ = mover.communicate()
    assert mover.returncode == 0 and said.splitlines()[-1].split("\t")[1:3] == ["stream of news", "3"], said
    assert bodies(target, "stream of news") == ["1", "2", "3"]


def test_a_source_with_tls(own, ends, tmp_path):
    _, target = ends
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    port = free_port()
    files = ["--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem")]
    source = own("--tls-listen", f"127.0.0.1:{port}", *files)
    for broker in (source, target):
        declare(broker, "sealed")
    publish(source, "sealed", *[b"%d " % number + b"x" * 5000 for number in range(300)], delivery_mode=2)
    uri = f"amqps://localhost:{port}"
    code, _, said = move(target, uri, "--queue", "sealed")
    assert code == 74 and "certificate" in said, said
    code, rows, said = move(target, uri, "--queue", "sealed", "--cacert", str(tmp_path / "ca.pem"))
    assert code == 0 and rows["sealed"]["moved"] == 300, said
    assert [body.split()[0] for body in bodies(target, "sealed")] == [str(number) for number in range(300)]
