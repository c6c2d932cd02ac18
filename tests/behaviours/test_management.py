"""The management API that tools of RabbitMQ change a broker with: rabbitmqadmin as Debian ships it, files of definitions that
a RabbitMQ 3.10.8 wrote, and who may change what.
"""

import base64
import json
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote

import pika
import pytest

from broker import ENVIRONMENT, free_port, given_broker

pytestmark = pytest.mark.skipif(given_broker() is not None, reason="a broker of our own is changed at will")

DEFINITIONS = json.loads((Path(__file__).parent / "rabbitmq_definitions.json").read_text())
LISTS = [name for name, value in DEFINITIONS.items() if isinstance(value, list)]


class Api:
    """The management API of a broker."""

    def __init__(self, port):
        self.port, self.url = port, f"http://127.0.0.1:{port}/api"

    def __call__(self, method, path, body=None, user="guest", password="guest"):
        """(status, what was answered as JSON or None, headers)"""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, method=method)
        request.add_header("Authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode())
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request) as response:
                return response.status, read(response), response.headers
        except urllib.error.HTTPError as error:
            return error.code, read(error), error.headers

    def status(self, *call, **options):
        return self(*call, **options)[0]

    def ok(self, *call, **options):
        """What was answered, if it went well."""
        status, answer, _ = self(*call, **options)
        assert status in (200, 201, 204), (call, status, answer)
        return answer


def read(response):
    said = response.read()
    return json.loads(said) if said else None


@pytest.fixture
def managed(own):
    """managed(*flags) starts a broker; returns it with its API."""

    def managed(*flags, **options):
        port = free_port()
        return own(*flags, http=f"127.0.0.1:{port}", **options), Api(port)

    return managed


# A client of RabbitMQ's own.


@pytest.fixture
def rabbitmqadmin(managed, tmp_path):
    """rabbitmqadmin("declare", "queue", "name=q") runs Debian's rabbitmqadmin; returns what it printed."""
    if not shutil.which("rabbitmqadmin"):
        pytest.skip("rabbitmqadmin, which comes with Debian's rabbitmq-server, is not installed")
    broker, api = managed()

    def rabbitmqadmin(*arguments, vhost=None):
        command = ["rabbitmqadmin", "--host=127.0.0.1", f"--port={api.port}", "--format=raw_json"]
        command += [f"--vhost={vhost}"] if vhost else []
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, cwd=tmp_path, env=ENVIRONMENT)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return json.loads(done.stdout) if done.stdout.startswith(("[", "{")) else done.stdout.strip()

    rabbitmqadmin.broker, rabbitmqadmin.api = broker, api
    return rabbitmqadmin


def test_rabbitmqadmin_declares_binds_publishes_gets_and_deletes(rabbitmqadmin):
    assert rabbitmqadmin("declare", "vhost", "name=shop") == "vhost declared"
    shop = lambda *arguments: rabbitmqadmin(*arguments, vhost="shop")
    assert shop("declare", "queue", "name=orders", "durable=true", 'arguments={"x-max-length":100}') == "queue declared"
    assert shop("declare", "exchange", "name=events", "type=topic") == "exchange declared"
    assert shop("declare", "binding", "source=events", "destination=orders", "routing_key=order.#") == "binding declared"
    payload = ["exchange=events", "routing_key=order.new", "payload=hello", 'properties={"delivery_mode":2}']
    assert shop("publish", *payload) == "Message published"
    assert shop("publish", "exchange=events", "routing_key=other", "payload=x") == "Message published but NOT routed"
    [got] = shop("get", "queue=orders", "ackmode=ack_requeue_true", "count=5")
    assert (got["payload"], got["routing_key"], got["redelivered"]) == ("hello", "order.new", False)
    [got] = shop("get", "queue=orders", "ackmode=ack_requeue_true", "count=5")
    assert got["redelivered"] and got["properties"] == {"delivery_mode": 2}
    assert shop("purge", "queue", "name=orders") == "queue purged"
    assert shop("get", "queue=orders") == []
    binding = ["source=events", "destination_type=queue", "destination=orders", "properties_key=order.%23"]
    assert shop("delete", "binding", *binding) == "binding deleted"
    assert shop("publish", *payload) == "Message published but NOT routed"
    assert shop("delete", "queue", "name=orders") == "queue deleted"
    assert shop("delete", "exchange", "name=events") == "exchange deleted"
    assert rabbitmqadmin("delete", "vhost", "name=shop") == "vhost deleted"


def test_rabbitmqadmin_makes_users_and_policies_that_hold(rabbitmqadmin):
    broker = rabbitmqadmin.broker
    assert rabbitmqadmin("declare", "user", "name=ann", "password=secret", "tags=monitoring") == "user declared"
    permission = ["vhost=/", "user=ann", "configure=^ann", "write=", "read=.*"]
    assert rabbitmqadmin("declare", "permission", *permission) == "permission declared"
    policy = ["name=short", "pattern=^ann", 'definition={"max-length":2}', "apply-to=queues"]
    assert rabbitmqadmin("declare", "policy", *policy) == "policy declared"
    assert rabbitmqadmin("declare", "vhost_limit", "vhost=/", "name=max-queues", "value=1") == "vhost_limit declared"
    channel = broker.connect(user="ann", password="secret").channel()
    channel.queue_declare("ann.1")
    with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="limit"):
        channel.queue_declare("ann.2")
    publisher = broker.connect().channel()
    publisher.confirm_delivery()
    for number in range(5):
        publisher.basic_publish("", "ann.1", str(number).encode())
    got = rabbitmqadmin("get", "queue=ann.1", "count=10", "ackmode=ack_requeue_false")
    assert [message["payload"] for message in got] == ["3", "4"]
    assert rabbitmqadmin("delete", "user", "name=ann") == "user deleted"
    with pytest.raises(pika.exceptions.ProbableAuthenticationError):
        broker.connect(user="ann", password="secret")


def test_rabbitmqadmin_moves_everything_to_another_broker(rabbitmqadmin, managed, tmp_path):
    _, other = managed()
    rabbitmqadmin("declare", "queue", "name=q", "durable=true")
    rabbitmqadmin("declare", "user", "name=ann", "password=secret", "tags=")
    rabbitmqadmin("export", "all.json")
    other.ok("POST", "/definitions", json.loads((tmp_path / "all.json").read_text()))
    assert entries(other.ok("GET", "/definitions")) == entries(rabbitmqadmin.api.ok("GET", "/definitions"))
    rabbitmqadmin("delete", "queue", "name=q")
    rabbitmqadmin("import", "all.json")
    assert rabbitmqadmin.api.status("PUT", "/queues/%2F/q", {"durable": True}) == 204, "it is there again"


# Definitions.


def entries(definitions):
    """The entries of each list; their order says nothing."""
    return {name: sorted(json.dumps(entry, sort_keys=True) for entry in definitions[name]) for name in LISTS}


def lasting(definitions):
    """What outlives a restart."""
    passing = {entry["name"] for name in ["queues", "exchanges"] for entry in definitions[name] if not entry["durable"]}

    def is_lasting(entry):
        return not passing & {entry.get("name"), entry.get("source"), entry.get("destination")}

    return {name: [entry for entry in definitions[name] if is_lasting(entry)] for name in LISTS}


def as_written_by_rabbitmq(ours):
    """Ours, with the fields that 3.10 writes, and without what a new broker begins with."""
    fields = {name: set(DEFINITIONS[name][0]) for name in LISTS}
    known = {"users": ["guest"], "vhosts": ["/"], "permissions": ["guest"]}

    def is_new(name, entry):
        return (entry.get("user") or entry.get("name")) not in known.get(name, [])

    return {
        name: [{k: v for k, v in entry.items() if k in fields[name]} for entry in ours[name] if is_new(name, entry)]
        for name in LISTS
    }


def test_definitions_of_a_rabbitmq_come_in_and_go_out_unchanged(managed):
    broker, api = managed()
    for _ in range(2):
        api.ok("POST", "/definitions", DEFINITIONS)
        assert entries(as_written_by_rabbitmq(api.ok("GET", "/definitions"))) == entries(DEFINITIONS)
    broker.connect("moved", "mover", "test12").close()
    broker.crash_and_restart()
    after = entries(as_written_by_rabbitmq(api.ok("GET", "/definitions")))
    assert after == entries(lasting(DEFINITIONS)), "answered = durable"


def test_definitions_of_one_vhost_go_into_another(managed):
    _, api = managed()
    api.ok("POST", "/definitions", DEFINITIONS)
    api.ok("PUT", "/vhosts/copy", {})
    moved = api.ok("GET", "/definitions/moved")
    api.ok("POST", "/definitions/copy", moved)
    copied = api.ok("GET", "/definitions/copy")
    for name in ["queues", "exchanges", "bindings"]:
        assert copied[name] == moved[name]
    assert [policy["name"] for policy in copied["policies"]] == [policy["name"] for policy in moved["policies"]]


def test_definitions_are_there_before_the_first_client(managed, tmp_path):
    file = tmp_path / "definitions.json"
    file.write_text(json.dumps(DEFINITIONS))
    broker, api = managed("--load-definitions", str(file))
    broker.connect("moved", "mover", "test12").close()
    assert api.status("GET", "/whoami") == 401, "the file does not name guest"
    broker.stop_and_restart()
    assert entries(as_written_by_rabbitmq(json.loads(broker.ctl("export_definitions")))) == entries(DEFINITIONS)
    file.write_text(json.dumps({"queues": [{"name": "q", "vhost": "nowhere"}]}))
    broker.process.terminate()
    broker.process.wait()
    with pytest.raises(AssertionError, match="vhost 'nowhere': no such virtual host"):
        broker.start()


@pytest.mark.parametrize(
    "wrong, named",
    [
        ({"queues": [{"name": "bad", "vhost": "/", "arguments": {"x-max-length": "a"}}]}, "queue 'bad' in vhost '/'"),
        ({"exchanges": [{"name": "bad", "vhost": "/", "type": "odd"}]}, "exchange 'bad' in vhost '/'"),
        ({"users": [{"name": "bad"}]}, "user 'bad'"),
        ({"permissions": [{"user": "bad", "vhost": "/", "configure": "", "write": "", "read": ""}]}, "user 'bad'"),
        ({"policies": [{"name": "bad", "vhost": "/", "pattern": "(", "definition": {"max-length": 1}}]}, "policy 'bad'"),
        ({"queues": [{"name": "q", "vhost": "bad"}]}, "vhost 'bad'"),
    ],
)
def test_definitions_that_cannot_be_change_nothing(managed, wrong, named):
    _, api = managed()
    before = api.ok("GET", "/definitions")
    good = {"name": "good", "vhost": "/", "durable": True, "auto_delete": False, "arguments": {}}
    file = wrong | {"queues": [good, *wrong.get("queues", [])], "vhosts": [{"name": "new"}]}
    status, answer, _ = api("POST", "/definitions", file)
    assert (status, answer["error"]) == (400, "bad_request") and named in answer["reason"]
    assert api.ok("GET", "/definitions") == before


def test_definitions_are_taken_from_a_form(managed):
    _, api = managed()
    queue = {"name": "uploaded", "vhost": "/", "durable": True, "auto_delete": False, "arguments": {}}
    form = "\r\n".join([
        "--edge", 'Content-Disposition: form-data; name="file"; filename="a.json"', "", json.dumps({"queues": [queue]}),
        "--edge--", "",
    ])
    request = urllib.request.Request(api.url + "/definitions", form.encode(), method="POST")
    request.add_header("Authorization", "Basic " + base64.b64encode(b"guest:guest").decode())
    request.add_header("Content-Type", "multipart/form-data; boundary=edge")
    with urllib.request.urlopen(request) as response:
        assert response.status == 204
    assert api.status("PUT", "/queues/%2F/uploaded", {"durable": True}) == 204


# Messages.


def test_what_is_published_by_http_is_safe_when_it_is_answered(managed):
    broker, api = managed()
    api.ok("PUT", "/queues/%2F/q", {"durable": True})
    message = {"routing_key": "q", "payload": "aGk=", "payload_encoding": "base64", "properties": {"delivery_mode": 2}}
    assert api.ok("POST", "/exchanges/%2F/amq.default/publish", message) == {"routed": True}
    broker.crash_and_restart()
    wanted = {"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto"}
    [got] = api.ok("POST", "/queues/%2F/q/get", wanted)
    assert (got["payload"], got["payload_encoding"], got["payload_bytes"]) == ("hi", "string", 2)
    assert api.ok("POST", "/queues/%2F/q/get", wanted) == []


def test_what_becomes_of_messages_that_are_got(managed):
    _, api = managed()
    api.ok("PUT", "/queues/%2F/dead", {"durable": True})
    letters = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    api.ok("PUT", "/queues/%2F/q", {"durable": True, "arguments": letters})
    publish = {"routing_key": "q", "payload_encoding": "string", "properties": {}}
    for payload in ["one", "two", "three"]:
        api.ok("POST", "/exchanges/%2F/amq.default/publish", publish | {"payload": payload})

    def get(name, mode, count=10):
        wanted = {"count": count, "ackmode": mode, "encoding": "auto"}
        return [message["payload"] for message in api.ok("POST", f"/queues/%2F/{name}/get", wanted)]

    for mode in ["ack_requeue_true", "reject_requeue_true"]:
        assert get("q", mode) == ["one", "two", "three"], "they stay, in their order"
    assert get("q", "ack_requeue_false", 1) == ["one"]
    assert get("dead", "ack_requeue_true") == [], "that one is gone for good"
    assert get("q", "reject_requeue_false", 1) == ["two"]
    assert get("dead", "ack_requeue_true") == ["two"]
    assert get("q", "ack_requeue_true") == ["three"]


def test_refusals_are_those_of_amqp(managed):
    _, api = managed()
    api.ok("PUT", "/queues/%2F/q", {"durable": True})
    for method, path, body, status, reason in [
        ("PUT", "/queues/%2F/q", {"durable": False}, 400,
         "inequivalent arg 'durable' for queue 'q' in vhost '/': received 'false' but current is 'true'"),
        ("PUT", "/exchanges/%2F/x", {"type": "odd"}, 400, "unknown exchange type 'odd'"),
        ("POST", "/bindings/%2F/e/amq.direct/q/none", {}, 404, "no queue 'none' in vhost '/'"),
        ("POST", "/exchanges/%2F/none/publish",
         {"routing_key": "", "payload": "", "payload_encoding": "string", "properties": {}}, 400,
         "404 NOT_FOUND - no exchange 'none' in vhost '/'"),
        ("POST", "/queues/%2F/none/get", {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}, 404,
         "NOT_FOUND - no queue 'none' in vhost '/'"),
        ("DELETE", "/queues/%2F/none", None, 404, "Not Found"),
        ("PUT", "/policies/%2F/p", {"pattern": "x", "definition": {"odd": 1}}, 400,
         'Validation failed\n\n[{<<"odd">>,1}] are not recognised policy settings\n'),
    ]:
        answered, said, _ = api(method, path, body)
        assert (answered, said["reason"]) == (status, reason), path


def test_a_binding_says_where_it_is(managed):
    _, api = managed()
    api.ok("PUT", "/queues/%2F/a%20queue", {})
    for key in ["", "#", "a b/c~d%", "~"]:
        for arguments in [{}, {"n": 1}]:
            path = "/bindings/%2F/e/amq.topic/q/a%20queue"
            status, _, headers = api("POST", path, {"routing_key": key, "arguments": arguments})
            assert status == 201
            # Relative to the path, as in RabbitMQ; its last segment is the properties key.
            key_of_it = headers["Location"].rsplit("/", 1)[1]
            assert api.status("DELETE", f"{path}/{key_of_it}") == 204
            assert api.status("DELETE", f"{path}/{key_of_it}") == 404


# Rights.

MESSAGE = {"routing_key": "k", "payload": "x", "payload_encoding": "string", "properties": {}}
RIGHTS = {"configure": ".*", "write": ".*", "read": ".*"}
POLICY = {"pattern": "zz", "definition": {"max-length": 1}}
TAGS = ["", "management", "policymaker", "monitoring", "administrator"]
# Whom RabbitMQ 3.10.8 lets: of the tags above without permissions in the vhost, then with them.
MEMBERS, ADMINS = ("-----", "-yyyy"), ("----y", "----y")
POLICYMAKERS, MONITORS = ("--y-y", "--y-y"), ("---yy", "---yy")
MEMBERS_WITH_POLICIES = ("----y", "--y-y")
WHO = [
    ("PUT", "/queues/v/q", {"durable": True}, MEMBERS),
    ("DELETE", "/queues/v/q", None, MEMBERS),
    ("DELETE", "/queues/v/q/contents", None, MEMBERS),
    ("POST", "/queues/v/q/get", {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}, MEMBERS),
    ("POST", "/queues/v/q/actions", {"action": "sync"}, ADMINS),
    ("PUT", "/exchanges/v/x", {}, MEMBERS),
    ("DELETE", "/exchanges/v/x", None, MEMBERS),
    ("POST", "/exchanges/v/x/publish", MESSAGE, MEMBERS),
    ("POST", "/bindings/v/e/x/q/q", {"routing_key": "k"}, MEMBERS),
    ("DELETE", "/bindings/v/e/x/q/q/k", None, MEMBERS),
    ("PUT", "/vhosts/w", {}, ADMINS),
    ("POST", "/vhosts/w/start/here", None, ADMINS),
    ("DELETE", "/vhosts/w", None, ADMINS),
    ("PUT", "/users/victim", {"password": "x", "tags": ""}, ADMINS),
    ("DELETE", "/users/victim", None, ADMINS),
    ("POST", "/users/bulk-delete", {"users": ["victim"]}, ADMINS),
    ("PUT", "/permissions/v/victim", RIGHTS, ADMINS),
    ("DELETE", "/permissions/v/victim", None, ADMINS),
    ("PUT", "/topic-permissions/v/victim", {"exchange": "", "write": "", "read": ""}, ADMINS),
    ("DELETE", "/topic-permissions/v/victim", None, ADMINS),
    ("PUT", "/policies/v/p", POLICY, MEMBERS_WITH_POLICIES),
    ("DELETE", "/policies/v/p", None, MEMBERS_WITH_POLICIES),
    ("PUT", "/operator-policies/v/p", POLICY, ADMINS),
    ("DELETE", "/operator-policies/v/p", None, ADMINS),
    ("PUT", "/parameters/vhost-limits/v/limits", {"value": {"max-queues": 100}}, MEMBERS_WITH_POLICIES),
    ("DELETE", "/parameters/vhost-limits/v/limits", None, MEMBERS_WITH_POLICIES),
    ("PUT", "/global-parameters/g", {"value": 1}, POLICYMAKERS),
    ("DELETE", "/global-parameters/g", None, POLICYMAKERS),
    ("PUT", "/vhost-limits/v/max-queues", {"value": 100}, ADMINS),
    ("DELETE", "/vhost-limits/v/max-queues", None, ADMINS),
    ("PUT", "/user-limits/victim/max-channels", {"value": 100}, ADMINS),
    ("DELETE", "/user-limits/victim/max-channels", None, ADMINS),
    ("DELETE", "/topic-permissions/v/victim/amq.default", None, ADMINS),
    ("DELETE", "/connections/username/victim", None, ADMINS),
    ("PUT", "/cluster-name", {"name": "c"}, ADMINS),
    ("PUT", "/feature-flags/stream_queue/enable", {"name": "stream_queue"}, ADMINS),
    ("POST", "/rebalance/queues", {}, ADMINS),
    ("GET", "/definitions", None, ADMINS),
    ("GET", "/definitions/v", None, ADMINS),
    ("POST", "/definitions", {}, ADMINS),
    ("POST", "/definitions/v", {}, ADMINS),
    ("GET", "/auth/attempts/here", None, MONITORS),
    ("DELETE", "/auth/attempts/here", None, MONITORS),
]


def test_each_tag_may_change_what_it_may_in_rabbitmq(managed):
    _, api = managed()
    api.ok("PUT", "/vhosts/v", {})
    for tag in TAGS:
        for place in ["out", "in"]:
            api.ok("PUT", f"/users/{tag}-{place}", {"password": "x", "tags": tag})
        api.ok("PUT", f"/permissions/v/{tag}-in", RIGHTS)

    def prepare():
        """All that a route may find."""
        for path, body in [
            ("/queues/v/q", {"durable": True}), ("/exchanges/v/x", {}), ("/policies/v/p", POLICY),
            ("/operator-policies/v/p", POLICY), ("/global-parameters/g", {"value": 1}), ("/vhosts/w", {}),
            ("/users/victim", {"password": "x", "tags": ""}), ("/permissions/v/victim", RIGHTS),
            ("/topic-permissions/v/victim", {"exchange": "", "write": "", "read": ""}),
            ("/vhost-limits/v/max-queues", {"value": 100}),
        ]:
            api.ok("PUT", path, body)
        api.ok("POST", "/bindings/v/e/x/q/q", {"routing_key": "k"})

    prepare()
    for method, path, body, expected in WHO:
        for place, letters in zip(["out", "in"], expected):
            for tag, letter in zip(TAGS, letters):
                status = api.status(method, path, body, user=f"{tag}-{place}", password="x")
                allowed = status in (200, 201, 204)
                assert allowed == (letter == "y") and (allowed or status == 401), (method, path, tag, place, status)
                if allowed and (method == "DELETE" or "delete" in path):
                    prepare()


def test_rights_in_a_vhost_are_those_of_amqp(managed):
    _, api = managed()
    api.ok("PUT", "/users/ann", {"password": "x", "tags": "management"})
    api.ok("PUT", "/permissions/%2F/ann", {"configure": "^c", "write": "^w", "read": "^r"})
    for name in ["c", "w", "r"]:
        api.ok("PUT", f"/queues/%2F/{name}", {"durable": True})
        api.ok("PUT", f"/exchanges/%2F/{name}", {"durable": True})
    ann = {"user": "ann", "password": "x"}
    get = {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}
    for method, path, body, allowed in [
        ("PUT", "/queues/%2F/c", {"durable": True}, True),
        ("PUT", "/queues/%2F/w", {"durable": True}, False),
        ("PUT", "/queues/%2F/c2", {"arguments": {"x-dead-letter-exchange": "r"}}, False),
        ("PUT", "/exchanges/%2F/r", {"durable": True}, False),
        ("POST", "/exchanges/%2F/w/publish", MESSAGE, True),
        ("POST", "/exchanges/%2F/r/publish", MESSAGE, False),
        ("POST", "/exchanges/%2F/amq.default/publish", MESSAGE, False),
        ("POST", "/queues/%2F/r/get", get, True),
        ("POST", "/queues/%2F/w/get", get, False),
        ("DELETE", "/queues/%2F/r/contents", None, True),
        ("DELETE", "/queues/%2F/c/contents", None, False),
        ("POST", "/bindings/%2F/e/r/q/w", {}, True),
        ("POST", "/bindings/%2F/e/w/q/w", {}, False),
        ("POST", "/bindings/%2F/e/r/q/r", {}, False),
        ("DELETE", "/queues/%2F/w", None, False),
        ("DELETE", "/queues/%2F/c", None, True),
    ]:
        status, answer, _ = api(method, path, body, **ann)
        assert (status < 300) == allowed, (method, path, status, answer)
        if not allowed:
            assert "refused for user 'ann'" in answer["reason"]


def test_names_with_any_letters_are_one_segment(managed):
    _, api = managed()
    for name in ["a/b", "ü %", "q?x#y", "..", "a+b"]:
        path = "/queues/%2F/" + quote(name, safe="")
        assert api.status("PUT", path, {"durable": True}) == 201, name
        assert name in [queue["name"] for queue in api.ok("GET", "/definitions")["queues"]]
        assert api.status("DELETE", path) == 204, name


def test_definitions_move_through_files_of_the_command_line(own, tmp_path):
    one, other = own(), own()
    one.ctl("add_user", "clerk", "secret")
    one.ctl("set_permissions", "clerk", ".*", ".*", ".*")
    one.ctl("set_policy", "short", "^s", '{"max-length":5}')
    with one.connect() as connection:
        connection.channel().queue_declare("orders", durable=True, arguments={"x-max-length": 7})
    file = tmp_path / "definitions.json"
    one.ctl("export_definitions", str(file))
    other.ctl("import_definitions", str(file))
    exported = json.loads(other.ctl("export_definitions"))
    assert exported == json.loads(file.read_text())
    assert [queue["name"] for queue in exported["queues"]] == ["orders"]
    with other.connect("/", "clerk", "secret") as connection:
        assert connection.channel().queue_declare("orders", passive=True).method.message_count == 0
    file.write_text("{")
    assert "is not JSON" in other.ctl("import_definitions", str(file), check=False)
    file.write_text('{"users": [{"name": 5}]}')
    assert "Error" in other.ctl("import_definitions", str(file), check=False)
