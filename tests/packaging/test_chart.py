"""The Helm chart, rendered by Helm for several wishes, gives objects that Kubernetes takes and that fit together."""

import re
from pathlib import Path

import pytest
import yaml
import kubernetes_validate

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "packaging/helm/ledgermq"
helm = pytest.importorskip("helm_python", reason="there is no Helm for this kind of machine")

WISHES = {
    "nothing": {},
    "a secret that is there": {"auth": {"existingSecret": "mine"}},
    "a password": {"auth": {"username": "ops", "password": "s3cret: \"quoted\""}},
    "settings": {"settings": {"disk_low_bytes": "5GiB", "audit_log": "/var/lib/ledgermq/audit.log"}},
    "a load balancer with other ports": {"service": {"type": "LoadBalancer", "amqp": 5673, "http": 80, "metrics": 9090}},
    "a place and room": {
        "persistence": {"size": "1Ti", "storageClass": "fast"},
        "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "2Gi"}},
        "nodeSelector": {"disk": "nvme"},
        "tolerations": [{"key": "dedicated", "operator": "Equal", "value": "mq", "effect": "NoSchedule"}],
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]}}},
    },
    "metrics for Prometheus's operator": {"serviceMonitor": {"enabled": True}},
    "an image by its tag": {"image": {"repository": "registry.local/mq", "tag": "9.9", "pullPolicy": "Always"}},
}


def rendered(values):
    """{kind: object}; each template gives one or none."""
    with helm.Chart.load(str(CHART)) as chart:
        texts = chart.render(values, name="orders-mq", namespace="prod").values()
    objects = [one for text in texts for one in yaml.safe_load_all(text) if one]
    assert len({one["kind"] for one in objects}) == len(objects)
    return {one["kind"]: one for one in objects}


@pytest.fixture(params=WISHES, ids=lambda name: name.replace(" ", "-"))
def objects(request):
    return rendered(WISHES[request.param])


def container(objects):
    return objects["StatefulSet"]["spec"]["template"]["spec"]["containers"][0]


def test_helm_finds_nothing_wrong():
    found = helm.lint(str(CHART))
    assert not found["errors"]
    # An icon is a matter of taste.
    assert [one["error"] for one in found["messages"]] == ["icon is recommended"]


def test_kubernetes_knows_every_field(objects):
    for kind, one in objects.items():
        if kind != "ServiceMonitor":
            kubernetes_validate.validate(one, "1.29", strict=True)


def test_objects_find_one_another(objects):
    stateful, service = objects["StatefulSet"]["spec"], objects["Service"]["spec"]
    pod = stateful["template"]
    assert stateful["serviceName"] == objects["Service"]["metadata"]["name"] == "orders-mq"
    assert service["selector"] == stateful["selector"]["matchLabels"] == pod["metadata"]["labels"]
    open_ports = {port["name"]: port["containerPort"] for port in container(objects)["ports"]}
    assert {port["targetPort"] for port in service["ports"]} == set(open_ports)
    assert open_ports == {"amqp": 5672, "http": 15672, "metrics": 15692}, "those of the Dockerfile"
    volumes = {claim["metadata"]["name"] for claim in stateful["volumeClaimTemplates"]}
    assert {mount["name"] for mount in container(objects)["volumeMounts"]} == volumes
    secrets = {env["valueFrom"]["secretKeyRef"]["name"] for env in container(objects)["env"] if "valueFrom" in env}
    assert secrets == {objects["Secret"]["metadata"]["name"] if "Secret" in objects else "mine"}
    if "Secret" in objects:
        assert set(objects["Secret"]["data"]) == {"username", "password"}
    if "ServiceMonitor" in objects:
        monitor = objects["ServiceMonitor"]["spec"]
        assert monitor["selector"]["matchLabels"] == objects["Service"]["metadata"]["labels"]
        assert {one["port"] for one in monitor["endpoints"]} <= {port["name"] for port in service["ports"]}


def test_one_broker_owns_the_store_and_runs_as_nobodys_root(objects):
    stateful = objects["StatefulSet"]["spec"]
    assert stateful["replicas"] == 1
    security = stateful["template"]["spec"]["securityContext"]
    assert security["runAsNonRoot"] and f'USER {security["runAsUser"]}' in (ROOT / "Dockerfile").read_text()
    assert container(objects)["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }


def test_settings_are_keys_of_the_broker(objects):
    known = set(re.findall(r"variable `(LEDGERMQ_[A-Z_]+)`", (ROOT / "docs/configuration.md").read_text()))
    names = {env["name"] for env in container(objects)["env"] if env["name"].startswith("LEDGERMQ_")}
    assert names and names <= known


def test_wishes_are_granted():
    granted = rendered(WISHES["settings"])
    assert {"name": "LEDGERMQ_DISK_LOW_BYTES", "value": "5GiB"} in container(granted)["env"]
    granted = rendered(WISHES["a load balancer with other ports"])["Service"]["spec"]
    assert (granted["type"], [port["port"] for port in granted["ports"]]) == ("LoadBalancer", [5673, 80, 9090])
    granted = rendered(WISHES["a place and room"])["StatefulSet"]["spec"]
    claim = granted["volumeClaimTemplates"][0]["spec"]
    assert (claim["storageClassName"], claim["resources"]["requests"]) == ("fast", {"storage": "1Ti"})
    for name, wish in WISHES["a place and room"].items():
        if name != "persistence":
            pod = granted["template"]["spec"]
            assert (pod["containers"][0] if name == "resources" else pod)[name] == wish
    assert container(rendered(WISHES["an image by its tag"]))["image"] == "registry.local/mq:9.9"
    assert "Secret" not in rendered(WISHES["a secret that is there"])
    assert len(rendered({})["Secret"]["data"]["password"]) >= 32, "made up, if none is given"
