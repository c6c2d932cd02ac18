"""The management API: who may ask what, what is answered with which fields, and what strangers send."""

import base64
import json
import re
import socket
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pika
import pytest

from broker import OwnBroker, free_port
from tools import wait_until

GOLDEN = json.loads(Path(__file__).with_name("management_fields.json").read_text())["fields"]
VHOST = "fields"
# What RabbitMQ 3.10.8 answers users of these tags, asked with every one of them: statuses for none, management,
# policymaker, monitoring, administrator; of a user without permissions in the vhost, then of one with.
RULES = {
    "anyone": ("ooooo", "ooooo"),
    "management": ("-oooo", "-oooo"),
    "monitoring": ("---oo", "---oo"),
    "policymaker": ("--o-o", "--o-o"),
    "administrator": ("----o", "----o"),
    "vhost": ("----o", "-oooo"),
    "visible-vhost": ("---oo", "-oooo"),
    "vhost-member": ("-----", "-oooo"),
    "policymaker-of-vhost": ("----o", "--o-o"),
    "administrator-of-vhost": ("----o", "----o"),
}
TAGS = ["none", "management", "policymaker", "monitoring", "administrator"]
# Fields that say something of Erlang, of RabbitMQ's store or of its cluster, and have no meaning here.
ERLANG = (
    "garbage_collection reductions backing_queue_status recoverable_slaves gc_num gc_bytes_reclaimed context_switches "
    "mnesia_ metrics_gc_queue_length ra_open_file_metrics msg_store_ queue_index_ open_files pending_raft_commands "
    "contexts.cowboy_opts contexts.protocol listeners.socket_opts. message_bytes_dlx messages_dlx io_reopen_ io_seek_ proc_used_details"
).split()
# Fields of which this broker does not know the truth: it keeps no such count.
UNKNOWN = (
    "message_stats.disk_reads message_stats.disk_writes message_bytes_persistent messages_persistent message_bytes_ram "
    "message_bytes_paged_out messages_ready_ram messages_unacknowledged_ram io_read_ io_write_ io_sync_avg_time_details "
    "acks_uncommitted user_who_performed_action"
).split()
# In RabbitMQ 3.10 alone; 4.x has it under the name that classic queues have.
RENAMED = ["single_active_consumer_ctag"]


class Api:
    """HTTP to the management API."""

    def __init__(self, port):
        self.port = port

    def ask(self, path, user="guest", password="guest", method="GET", headers=None, body=None):
        """Status, headers and body of an answer."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method, data=body)
        if user is not None:
            login = base64.b64encode(f"{user}:{password}".encode()).decode()
            request.add_header("Authorization", f"Basic {login}")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def get(self, path, **options):
        """The JSON of a good answer."""
        status, _, body = self.ask(f"/api/{path}", **options)
        assert status == 200, (path, status, body)
        return json.loads(body)

    def raw(self, request):
        """All that comes back for these bytes, until the broker closes or has answered."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(request)
            answer = b""
            while b"\r\n\r\n" not in answer:
                more = connection.recv(65536)
                if not more:
                    break
                answer += more
            return answer


@pytest.fixture(scope="module")
def managed():
    """A broker with an HTTP side, and objects of every kind."""
    port = free_port()
    broker = OwnBroker(http=f"127.0.0.1:{port}")
    if broker.is_rabbitmq:
        broker.stop()
        pytest.skip("its HTTP side would need a plugin")
    broker.api = Api(port)
    broker.ctl("add_vhost", VHOST)
    broker.ctl("set_permissions", "-p", VHOST, "guest", ".*", ".*", ".*")
    for tag in TAGS:
        for kind in ("stranger", "member"):
            broker.ctl("add_user", f"{tag}-{kind}", "secret")
            broker.ctl("set_user_tags", f"{tag}-{kind}", tag)
            if kind == "member":
                broker.ctl("set_permissions", "-p", VHOST, f"{tag}-{kind}", ".*", ".*", ".*")
    broker.ctl("set_policy", "-p", VHOST, "pol", "^cq", '{"max-length":500}')
    broker.ctl("set_vhost_limits", "-p", VHOST, '{"max-connections":100}')
    broker.ctl("set_user_limits", "management-member", '{"max-connections":100}')
    broker.ctl("set_topic_permissions", "-p", VHOST, "guest", "ex", ".*", ".*")
    yield broker
    broker.stop()


@pytest.fixture(scope="module")
def client(managed):
    """A client that did with messages what there is to do; its channel stays open."""
    connection = managed.connect(VHOST, client_properties={"connection_name": "fields"})
    channel = connection.channel()
    channel.queue_declare("cq", durable=True, arguments={"x-max-length": 1000, "x-message-ttl": 60000000})
    channel.queue_declare("qq", durable=True, arguments={"x-queue-type": "quorum"})
    channel.exchange_declare("ex", "topic", durable=True)
    channel.queue_bind("cq", "ex", "a.#")
    channel.queue_bind("cq", "ex", "b", arguments={"x": 1})
    channel.exchange_bind("amq.fanout", "ex", "z")
    channel.confirm_delivery()
    for exchange, key in [("ex", "a.b"), ("", "qq")]:
        for _ in range(5):
            channel.basic_publish(exchange, key, b"x" * 10, pika.BasicProperties(delivery_mode=2, timestamp=1700000000))
    with pytest.raises(pika.exceptions.UnroutableError):
        channel.basic_publish("ex", "nope", b"", mandatory=True)
    channel.basic_publish("ex", "nope", b"")
    channel.basic_get("cq", auto_ack=True)
    again, _, _ = channel.basic_get("cq")
    channel.basic_nack(again.delivery_tag)
    channel.basic_get("qq")
    channel.queue_declare("empty")
    channel.basic_get("empty")
    channel.basic_qos(prefetch_count=3)
    acked = []

    def ack_every_other(channel, method, _properties, _body):
        if method.delivery_tag % 2:
            channel.basic_ack(method.delivery_tag)
            acked.append(method.delivery_tag)

    channel.basic_consume("cq", ack_every_other, consumer_tag="tag1", arguments={"x-priority": 3})
    while len(acked) < 2:
        connection.process_data_events(time_limit=1)
    # The answer says that the broker has taken the acknowledgements.
    channel.queue_declare("cq", passive=True)
    yield connection
    connection.close()


def quoted(name):
    return urllib.parse.quote(name, safe="")


def fields(value, depth=0, path=""):
    """Names of fields, X.Y for field Y of X."""
    found = set()
    if isinstance(value, list):
        for one in value:
            found |= fields(one, depth, path)
    elif isinstance(value, dict) and depth < 3:
        for name, inner in value.items():
            found.add(path + name)
            found |= fields(inner, depth + 1, f"{path}{name}.")
    return found


def test_fields_are_those_of_rabbitmq(managed, client):
    api = managed.api
    places = {
        "{vhost}": VHOST,
        "{node}": api.get("overview")["node"],
        "{connection}": quoted(api.get("connections")[0]["name"]),
        "{channel}": quoted(api.get("channels")[0]["name"]),
    }
    missing = {}
    for path, golden in GOLDEN.items():
        for place, name in places.items():
            path = path.replace(place, name)
        status, _, body = api.ask(f"/api/{path}")
        assert status == (503 if "port-listener/99" in path else 200), (path, body)
        absent = set(golden) - fields(json.loads(body))
        known = [*ERLANG, *UNKNOWN, *RENAMED]
        if "channels" in path:
            known.append("idle_since")
        absent = {name for name in absent if not any(part in name for part in known)}
        if absent:
            missing[path] = sorted(absent)
    assert missing == {}


def test_messages_are_counted_as_rabbitmq_counts_them(managed, client):
    # The numbers of a RabbitMQ 3.10.8 to which the same was done.
    expected = {
        "publish": 12, "confirm": 12, "return_unroutable": 1, "drop_unroutable": 1, "deliver": 4, "deliver_no_ack": 0,
        "deliver_get": 7, "get": 2, "get_no_ack": 1, "get_empty": 1, "ack": 2, "redeliver": 1,
    }
    stats = managed.api.get("channels")[0]["message_stats"]
    assert {name: stats[name] for name in expected} == expected
    stats = managed.api.get(f"queues/{VHOST}/cq")["message_stats"]
    expected = {"publish": 5, "deliver": 4, "deliver_get": 6, "get": 1, "get_no_ack": 1, "ack": 2, "redeliver": 1}
    assert {name: stats[name] for name in expected} == expected
    stats = managed.api.get(f"exchanges/{VHOST}/ex")["message_stats"]
    assert (stats["publish_in"], stats["publish_out"]) == (7, 5)
    stats = managed.api.get(f"exchanges/{VHOST}/amq.default")["message_stats"]
    assert (stats["publish_in"], stats["publish_out"]) == (5, 5)


def test_rates_come_with_the_next_sample(managed, client):
    path = f"queues/{VHOST}/empty?lengths_age=60&lengths_incr=5"
    managed.api.get(path)
    channel = client.channel()
    for _ in range(10):
        channel.basic_publish("", "empty", b"x")
    wait_until(lambda: managed.api.get(path)["messages_details"]["samples"][0]["sample"] == 10, client)
    details = managed.api.get(path)["messages_details"]
    assert len(details["samples"]) == 13
    assert details["avg"] > 0 and details["avg_rate"] > 0
    channel.queue_purge("empty")


def test_every_route_asks_for_its_tags(managed, client):
    """Of every route that reads: nobody, a wrong password, and users with every tag, with permissions and without."""
    routes = managed.api.get("openapi.json")["paths"]
    assert len(routes) > 60
    names = {"vhost": VHOST, "queue": "cq", "exchange": "ex", "source": "ex", "destination": "cq", "policy": "pol", "user": "guest", "props": "a.%23",
             "component": "vhost-limits", "name": "pol", "port": "1", "protocol": "amqp", "within": "1", "unit": "weeks"}
    wrong = []
    for path, operations in routes.items():
        asked = re.sub(r"\{(\w+)\}", lambda found: names.get(found[1], "x"), path)
        assert managed.api.ask(asked, method="PATCH")[0] == 405, path
        if "get" not in operations:
            continue
        rule = operations["get"]["x-rule"]
        nobody = managed.api.ask(asked, user=None)
        if rule != "anyone":
            assert nobody[0] == 401 and nobody[1]["WWW-Authenticate"] == 'Basic realm="RabbitMQ Management"', path
        for kind, expected in zip(("stranger", "member"), RULES[rule], strict=True):
            for tag, allowed in zip(TAGS, expected, strict=True):
                status, _, body = managed.api.ask(asked, f"{tag}-{kind}", "secret")
                if (status == 401) != (allowed == "-"):
                    wrong.append((path, f"{tag}-{kind}", status, body))
    assert wrong == []
    assert managed.api.ask("/api/whoami", "guest", "wrong")[0] == 401


def test_who_will_move_on_to_a_later_rabbitmq_hears_what_it_will_refuse(managed):
    used = lambda: {feature["name"] for feature in managed.api.get("deprecated-features/used")}  # noqa: E731
    known = {feature["name"]: feature for feature in managed.api.get("deprecated-features")}
    assert {one["deprecation_phase"] for one in known.values()} == {"permitted_by_default"}
    assert "global_qos" not in used()
    connection = managed.connect(VHOST)
    channel = connection.channel()
    channel.basic_qos(prefetch_count=3, global_qos=True)
    channel.queue_declare("transient")
    assert used() == {"global_qos", "transient_nonexcl_queues"} == set(known)
    channel.queue_delete("transient")
    connection.close()
    wait_until(lambda: "global_qos" not in used())


def test_memory_is_told_apart_in_numbers(managed):
    node = managed.api.get("overview")["node"]
    memory = managed.api.get(f"nodes/{node}/memory")["memory"]
    total, strategy = memory.pop("total"), memory.pop("strategy")
    assert strategy == "rss" and sum(memory.values()) == total["rss"] > 0


def test_lists_with_some_columns_know_their_consumers(managed, client):
    asked = managed.api.get(f"queues/{VHOST}?columns=consumer_details.consumer_tag,messages&page=1&name=cq")["items"]
    assert [set(row) for row in asked] == [{"messages"}]
    asked = managed.api.get("queues/detailed?columns=consumer_details.consumer_tag")
    tags = [one["consumer_tag"] for row in asked for one in row["consumer_details"]]
    assert tags == ["tag1"]


def test_routes_that_change_refuse_who_may_only_look(managed):
    routes = managed.api.get("openapi.json")["paths"]
    for path, operations in routes.items():
        for method, operation in operations.items():
            if method == "get" or operation["x-rule"] == "anyone":
                continue
            asked = re.sub(r"\{(\w+)\}", lambda found: VHOST if found[1] == "vhost" else "x", path)
            assert managed.api.ask(asked, user=None, method=method.upper())[0] == 401, (method, path)
            status = managed.api.ask(asked, "none-member", "secret", method=method.upper())[0]
            assert status == 401, (method, path)


def test_users_see_their_own(managed, client):
    api = managed.api
    assert api.get("connections", user="management-member", password="secret") == []
    assert len(api.get("connections", user="monitoring-member", password="secret")) == 1
    name = quoted(api.get("connections")[0]["name"])
    assert api.ask(f"/api/connections/{name}", "management-member", "secret")[0] == 404
    assert api.ask(f"/api/connections/{name}", "management-member", "secret", method="DELETE")[0] == 404
    assert [vhost["name"] for vhost in api.get("vhosts", user="management-member", password="secret")] == [VHOST]
    assert api.get("queues", user="management-stranger", password="secret") == []


def test_unknown_things_are_not_found(managed):
    for path in ("nope", "queues/nope", f"queues/{VHOST}/nope", f"exchanges/{VHOST}/nope", "users/nope", "nodes/nope",
                 f"queues/{VHOST}/%252F", "queues/%ff", f"bindings/{VHOST}/e/ex/q/nope/~", "connections/nope", "channels/nope"):
        status, _, body = managed.api.ask(f"/api/{path}")
        assert (status, json.loads(body)) == (404, {"error": "Object Not Found", "reason": "Not Found"}), path


def test_what_is_not_there_has_no_bindings(managed):
    """As in RabbitMQ: tools look for a binding before they take it away."""
    for path in (f"bindings/{VHOST}/e/ex/q/nope", f"bindings/{VHOST}/e/nope/q/cq", f"queues/{VHOST}/nope/bindings",
                 f"exchanges/{VHOST}/nope/bindings/source", f"exchanges/{VHOST}/nope/bindings/destination"):
        assert managed.api.get(path) == [], path


def test_users_come_in_pages(managed):
    page = managed.api.get("users?page=1&page_size=2&name=-member")
    assert (page["item_count"], page["filtered_count"]) == (2, len(TAGS))


@pytest.mark.parametrize("name", ["a/b", "ü %2F ?#&=+", '"<script>alert(1)</script>', "..", "q" * 255, "~", "[x]{y}"])
def test_hostile_names_are_one_segment_and_data(managed, client, name):
    channel = client.channel()
    channel.queue_declare(name)
    status, headers, body = managed.api.ask(f"/api/queues/{VHOST}/{quoted(name)}")
    assert (status, json.loads(body)["name"]) == (200, name)
    assert headers["Content-Type"] == "application/json" and headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    binding = managed.api.get(f"queues/{VHOST}/{quoted(name)}/bindings")[0]
    of_one = f"bindings/{VHOST}/e/amq.default/q/{quoted(name)}/{quoted(binding['properties_key'])}"
    assert managed.api.get(of_one)["routing_key"] == name
    page = managed.api.get(f"queues/{VHOST}?page=1&name={quoted(name)}")
    assert name in [item["name"] for item in page["items"]]
    channel.queue_delete(name)
    channel.close()


def test_lists_are_paged_filtered_and_sorted(managed, client):
    channel = client.channel()
    for number in range(25):
        channel.queue_declare(f"page-{number:02}")
    api = managed.api
    page = api.get(f"queues/{VHOST}?page=2&page_size=10&name=PAGE-&columns=name")
    assert [item["name"] for item in page["items"]] == [f"page-{number:02}" for number in range(10, 20)]
    assert (page["page_count"], page["filtered_count"], page["item_count"]) == (3, 25, 10)
    # As KEDA asks.
    page = api.get(f"queues/{VHOST}?page=1&use_regex=true&pagination=false&name=%5Epage-0%5Cd%24&page_size=100")
    assert (len(page["items"]), page["page_count"]) == (10, 1)
    names = [item["name"] for item in api.get(f"queues/{VHOST}?sort=name&sort_reverse=true&columns=name")]
    assert names == sorted(names, reverse=True)
    assert api.get(f"queues/{VHOST}?columns=message_stats.publish,name")[0].keys() == {"name", "message_stats"}
    for query in ("page=0", "page=1&page_size=501", "page=99", "page=x", "page=1&use_regex=true&name=("):
        assert api.ask(f"/api/queues/{VHOST}?{query}")[0] == 400, query
    for number in range(25):
        channel.queue_delete(f"page-{number:02}")


def test_long_lists_are_sorted_by_what_their_rows_say(managed, client):
    """The order is known from figures alone, long lists are written piece by piece: neither may say anything else than
    the rows of a short one."""
    channel = client.channel()
    for number in range(300):
        channel.queue_declare(f"long-{number:03}", arguments={"x-queue-type": ("classic", "quorum")[number % 2]}, durable=True)
        for _ in range(number * 7 % 4):
            channel.basic_publish("", f"long-{number:03}", b"x")
    for number in range(0, 300, 5):
        channel.basic_get(f"long-{number:03}")
    api = managed.api
    whole = {row["name"]: row for row in api.get(f"queues/{VHOST}")}
    assert len(whole) >= 300
    page = api.get(f"queues/{VHOST}?page=2&page_size=100&name=long-")
    assert [row["name"] for row in page["items"]] == [f"long-{number:03}" for number in range(100, 200)]
    for row in page["items"]:
        assert row.keys() == whole[row["name"]].keys() == api.get(f"queues/{VHOST}/{row['name']}?columns=" + ",".join(row)).keys()
        assert row["message_stats"].keys() == whole[row["name"]]["message_stats"].keys()
    for path in ("messages", "messages_ready", "messages_unacknowledged", "message_stats.publish", "message_stats.get",
                 "messages_details.rate", "message_stats.publish_details.rate", "type", "message_bytes"):
        def value(row):
            for name in path.split("."):
                row = row[name]
            return row

        rows = api.get(f"queues/{VHOST}?sort={path}&columns={path},name")
        assert len(rows) == len(whole)
        values = [value(row) for row in rows]
        assert values == sorted(values), path
        if not path.endswith("rate"):
            assert values == sorted(value(row) for row in whole.values()), path
    for number in range(300):
        channel.queue_delete(f"long-{number:03}")
    channel.close()


def test_an_operator_closes_a_connection_and_says_why(managed):
    connection = managed.connect(VHOST, client_properties={"connection_name": "victim"})
    (victim,) = [one for one in managed.api.get("connections") if one["user_provided_name"] == "victim"]
    path = f"/api/connections/{quoted(victim['name'])}"
    assert managed.api.ask(path, method="DELETE", headers={"X-Reason": "too loud"})[0] == 204
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker, match="CONNECTION_FORCED - too loud"):
        while True:
            connection.process_data_events(time_limit=1)
    wait_until(lambda: managed.api.ask(path)[0] == 404)


def test_strangers_get_no_room(managed):
    """Heads and bodies that are too large, compressed, chunked without end, or sent by a page of another site."""
    api = managed.api
    login = b"Authorization: Basic " + base64.b64encode(b"guest:guest") + b"\r\n"
    delete = b"DELETE /api/connections/x HTTP/1.1\r\nHost: x\r\n" + login
    for request, status in [
        (b"GET /api/whoami HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(200)) + b"\r\n", b"431"),
        (b"GET /api/whoami HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 1_000_000 + b"\r\n\r\n", b"431"),
        (b"GET /" + b"y" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"4"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b""),
        (b"GET /api/whoami HTTP/1.1\r\nHost : x\r\n\r\n", b"400"),
        (delete + b"Content-Length: 2000000\r\n\r\n", b"413"),
        (delete + b"Transfer-Encoding: chunked\r\n\r\n" + (b"10000\r\n" + b"x" * 65536 + b"\r\n") * 20, b"413"),
        (delete + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", b"415"),
        (delete + b"Origin: http://evil\r\n\r\n", b"403"),
        (delete + b"Sec-Fetch-Site: cross-site\r\n\r\n", b"403"),
        (delete + b"X-HTTP-Method-Override: GET\r\n\r\n", b"404"),
    ]:
        try:
            answer = api.raw(request)
        except ConnectionError:
            continue  # closed while it was still being sent
        assert answer[9:12].startswith(status), (request[:60], answer[:200])
    assert api.ask("/api/whoami")[1]["Access-Control-Allow-Origin"] is None
    assert api.get("whoami")["name"] == "guest"
