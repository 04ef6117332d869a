"""The Kubernetes manifests fit Kubernetes's schemas, each other, the service, and what the template sets on ECS."""

import re
import time
from collections.abc import Iterator
from copy import deepcopy
from signal import SIGTERM
from typing import Any
from urllib.parse import urlsplit

import httpx
import kubernetes_validate
import pytest
import yaml

from sse_service.http.uvicorn.server import CLOSE_SECONDS
from sse_service.settings.names import unknown_variables
from sse_service.settings.settings import Settings
from tests.deploy.dockerfile import stages
from tests.deploy.template import ROOT, VALKEY, raw
from tests.integration.chain import Chain, queue_stub, service
from tests.integration.process import DEADLINE
from tests.integration.valkey import Valkey
from tests.ports import free_port

PATH = ROOT / "deploy" / "kubernetes.yaml"
TEXT = PATH.read_text()
MANIFESTS: dict[str, Any] = {manifest["kind"]: manifest for manifest in yaml.safe_load_all(TEXT)}
DEPLOYMENT = MANIFESTS["Deployment"]["spec"]
POD = DEPLOYMENT["template"]["spec"]
[CONTAINER] = POD["containers"]
PORTS = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}
CONFIG: dict[str, str] = MANIFESTS["ConfigMap"]["data"]
POLICY = MANIFESTS["NetworkPolicy"]["spec"]
ANNOTATIONS: dict[str, str] = MANIFESTS["Ingress"]["metadata"]["annotations"]

PAGE = (ROOT / "deploy" / "kubernetes.md").read_text()
POD_MONITOR, ADAPTER, SCALED_OBJECT = map(yaml.safe_load, re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))

OLDEST = "1.30"
"""The oldest Kubernetes that the manifests are for."""


# ---- Schemas


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
@pytest.mark.parametrize("kind", MANIFESTS)
def test_every_manifest_fits_the_schema_of_its_kind(kind: str, version: str) -> None:
    kubernetes_validate.validate(MANIFESTS[kind], version, strict=True)


def test_the_schemas_find_a_misspelled_field() -> None:
    wrong = deepcopy(MANIFESTS["Deployment"])
    wrong["spec"]["template"]["spec"]["terminationGracePeriod"] = 40
    with pytest.raises(kubernetes_validate.ValidationError, match="terminationGracePeriod"):
        kubernetes_validate.validate(wrong, OLDEST, strict=True)


def test_there_is_one_manifest_of_each_kind_and_its_head_says_for_which_kubernetes() -> None:
    assert len(MANIFESTS) == TEXT.count("\nkind: ")
    assert f"Kubernetes {OLDEST} or newer" in TEXT


def test_no_manifest_names_a_namespace_or_holds_a_secret() -> None:
    assert "Secret" not in MANIFESTS
    for manifest in MANIFESTS.values():
        assert "namespace" not in manifest["metadata"]
        assert manifest["metadata"]["name"] == "sse-service"


def test_every_selector_finds_the_pods() -> None:
    labels = DEPLOYMENT["template"]["metadata"]["labels"]
    selectors = [
        DEPLOYMENT["selector"]["matchLabels"],
        MANIFESTS["Service"]["spec"]["selector"],
        MANIFESTS["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        POLICY["podSelector"]["matchLabels"],
        *(spread["labelSelector"]["matchLabels"] for spread in POD["topologySpreadConstraints"]),
    ]
    assert all(selector == labels for selector in selectors)


def test_the_image_is_named_as_in_the_page_that_builds_it() -> None:
    page = (ROOT / "deploy" / "container.md").read_text()
    assert CONTAINER["image"] in page


# ---- Settings


def test_every_variable_is_a_setting_of_the_service() -> None:
    assert unknown_variables(CONFIG) == []
    assert not {"SSE_JWT_SECRET", "SSE_BROKER_PASSWORD"} & set(CONFIG)


def test_the_service_starts_with_the_variables_of_configmap_and_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = re.findall(r"--from-literal=(SSE_[A-Z_]+)=", TEXT)
    assert {"SSE_JWT_SECRET", "SSE_BROKER_PASSWORD"} == set(secrets)
    assert [source for each in CONTAINER["envFrom"] for source in each] == ["configMapRef", "secretRef"]
    for name, value in {**CONFIG, **dict.fromkeys(secrets, "s" * 64)}.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    settings.check_for_serving()
    assert not settings.in_memory


def test_kubernetes_adds_no_variable_that_the_service_takes_for_a_setting() -> None:
    # What Kubernetes makes of the name of a Service, for each pod of its namespace.
    assert unknown_variables({"SSE_SERVICE_PORT": "tcp://10.0.0.1:80"})
    assert POD["enableServiceLinks"] is False


def test_proxies_are_trusted_where_the_network_policy_lets_them_in() -> None:
    [to_streams, _] = POLICY["ingress"]
    let_in = [each["ipBlock"]["cidr"] for each in to_streams["from"] if "ipBlock" in each]
    assert CONFIG["SSE_TRUSTED_PROXIES"].split(",") == let_in


# ---- Times


def test_a_pod_has_time_to_close_its_streams() -> None:
    drain = int(CONFIG["SSE_DRAIN_SECONDS"])
    pause = CONTAINER["lifecycle"]["preStop"]["sleep"]["seconds"]
    grace = POD["terminationGracePeriodSeconds"]
    assert drain == Settings.model_fields["drain_seconds"].default
    assert pause + drain + CLOSE_SECONDS < grace == pause + drain + 10


def test_one_pod_has_ended_before_the_next_one_drains() -> None:
    assert DEPLOYMENT["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert DEPLOYMENT["minReadySeconds"] >= POD["terminationGracePeriodSeconds"]


def test_the_load_balancer_waits_for_a_pod_to_end() -> None:
    group = attributes("target-group-attributes")
    assert int(group["deregistration_delay.timeout_seconds"]) >= POD["terminationGracePeriodSeconds"]


def test_a_pod_that_is_deleted_while_it_starts_ends_at_once() -> None:
    # The kernel ignores SIGTERM to process 1 until it has a handler. On ECS there is an init process for that.
    assert POD["shareProcessNamespace"] is VALKEY.container["LinuxParameters"]["InitProcessEnabled"] is True


def test_a_node_that_is_drained_takes_one_pod_at_a_time_and_waits_for_none_that_never_started() -> None:
    budget = MANIFESTS["PodDisruptionBudget"]["spec"]
    assert budget["maxUnavailable"] == 1 < MANIFESTS["HorizontalPodAutoscaler"]["spec"]["minReplicas"]
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


# ---- Ports and probes


def test_all_parts_name_the_same_ports() -> None:
    _, (_, image) = stages(ROOT / "deploy" / "Dockerfile")
    assert str(PORTS["http"]) == image.one("EXPOSE").text == image.one("CMD").exec_form[-1]
    assert PORTS["admin"] == Settings.model_fields["admin_port"].default
    assert DEPLOYMENT["template"]["metadata"]["annotations"] == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(PORTS["admin"]),
        "prometheus.io/path": "/metrics",
    }
    [served] = MANIFESTS["Service"]["spec"]["ports"]
    assert served["targetPort"] == "http"
    [rule] = MANIFESTS["Ingress"]["spec"]["rules"]
    [path] = rule["http"]["paths"]
    assert path["backend"]["service"] == {"name": "sse-service", "port": {"name": served["name"]}}


def test_only_monitoring_reaches_the_admin_port() -> None:
    assert CONFIG["SSE_ADMIN_HOST"] == "0.0.0.0"
    assert set(POLICY["policyTypes"]) == {"Ingress", "Egress"}
    rules = {port["port"]: rule["from"] for rule in POLICY["ingress"] for port in rule["ports"]}
    assert set(rules) == {"http", "admin"}
    [monitoring] = rules["admin"]
    assert monitoring == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}


def test_pods_reach_names_aws_and_valkey() -> None:
    anywhere = [rule for rule in POLICY["egress"] if "to" not in rule]
    allowed = {(port["protocol"], port["port"]) for rule in anywhere for port in rule["ports"]}
    valkey = urlsplit(CONFIG["SSE_BROKER_URL"]).port
    assert allowed == {("UDP", 53), ("TCP", 53), ("TCP", 443), ("TCP", valkey)}


def test_the_load_balancer_checks_the_path_of_the_readiness_probe() -> None:
    path = CONTAINER["readinessProbe"]["httpGet"]["path"]
    assert path == ANNOTATIONS["alb.ingress.kubernetes.io/healthcheck-path"] == VALKEY["TargetGroup"]["HealthCheckPath"]


@pytest.fixture(scope="module")
def store() -> Iterator[Valkey]:
    with Valkey() as valkey:
        yield valkey


@pytest.fixture(scope="module")
def task(store: Valkey) -> Iterator[Chain]:
    """A service over Valkey that drains for long."""
    with (
        queue_stub() as queue,
        service(queue, broker_url=store.url, single_task="false", drain_seconds="110") as running,
    ):
        yield running


def probe(name: str, chain: Chain) -> bool:
    """Whether a running service passes one of the probes, as the kubelet judges it."""
    asked = CONTAINER[name]["httpGet"]
    url = {"http": chain.url, "admin": chain.admin}[asked["port"]]
    status = httpx.get(url + asked["path"], timeout=DEADLINE, trust_env=False).status_code
    return 200 <= status < 400


def wait_for_unready(chain: Chain) -> None:
    until = time.monotonic() + DEADLINE
    while chain.get("/readyz").status_code == 200:
        assert time.monotonic() < until, chain.process.output


def test_a_pod_that_waits_for_valkey_at_its_start_lives_and_gets_no_requests() -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    with queue_stub() as queue, service(queue, ready=False, broker_url=url, single_task="false") as waiting:
        assert probe("startupProbe", waiting)
        assert probe("livenessProbe", waiting)
        assert not probe("readinessProbe", waiting)


def test_a_pod_that_is_cut_off_from_valkey_lives_and_keeps_its_place(task: Chain, store: Valkey) -> None:
    assert all(probe(name, task) for name in ("startupProbe", "livenessProbe", "readinessProbe"))
    store.kill()
    wait_for_unready(task)
    assert probe("livenessProbe", task)
    assert probe("readinessProbe", task)
    store.start()


def test_a_pod_that_drains_lives_and_gets_no_further_requests() -> None:
    with queue_stub() as queue, service(queue, drain_seconds="110") as ending, ending.stream("1"), ending.stream("2"):
        assert probe("readinessProbe", ending)
        ending.process.signal(SIGTERM)
        ending.process.wait_for("draining 2 streams")
        assert not probe("readinessProbe", ending)
        assert probe("livenessProbe", ending)


# ---- Size


def test_resources_are_a_row_of_the_sizing_table() -> None:
    assert CONTAINER["resources"]["requests"] == {"cpu": "1", "memory": "2Gi"}
    assert CONTAINER["resources"]["limits"] == {"memory": "2Gi"}
    [row] = re.findall(r"^\| 1 vCPU, 2 GB \| ([\d,]+) \|", (ROOT / "deploy" / "costs.md").read_text(), re.MULTILINE)
    assert int(row.replace(",", "")) == Settings.model_fields["max_streams"].default


def test_scaling_is_as_in_the_template() -> None:
    scaler = MANIFESTS["HorizontalPodAutoscaler"]["spec"]
    said = {name: raw()["Parameters"][name]["Default"] for name in ("MinTasks", "MaxTasks", "StreamsPerTask")}
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (said["MinTasks"], said["MaxTasks"])
    streams, cpu = scaler["metrics"]
    assert streams["pods"]["metric"] == {"name": "sse_streams_open"}
    assert streams["pods"]["target"] == {"type": "AverageValue", "averageValue": str(said["StreamsPerTask"])}
    target = VALKEY["ScalingByCpu"]["TargetTrackingScalingPolicyConfiguration"]
    assert cpu["resource"]["target"]["averageUtilization"] == target["TargetValue"]
    assert scaler["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == target["ScaleInCooldown"]


def test_the_scaler_alone_decides_how_many_pods_there_are() -> None:
    assert "replicas" not in DEPLOYMENT
    assert MANIFESTS["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == "sse-service"


# ---- Security


def test_the_container_is_the_images_user_without_rights_on_a_read_only_root() -> None:
    _, (_, image) = stages(ROOT / "deploy" / "Dockerfile")
    pod = POD["securityContext"]
    assert f"{pod['runAsUser']}:{pod['runAsGroup']}" == image.one("USER").text
    assert pod["runAsNonRoot"] is True
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_pods_get_no_token_for_the_kubernetes_api() -> None:
    assert POD["automountServiceAccountToken"] is MANIFESTS["ServiceAccount"]["automountServiceAccountToken"] is False
    assert POD["serviceAccountName"] == MANIFESTS["ServiceAccount"]["metadata"]["name"]


# ---- The ingress


def attributes(name: str) -> dict[str, str]:
    """The ``key=value`` pairs of an annotation."""
    return dict(pair.split("=") for pair in ANNOTATIONS[f"alb.ingress.kubernetes.io/{name}"].split(","))


def test_the_load_balancer_is_set_as_in_the_template() -> None:
    assert attributes("load-balancer-attributes") == VALKEY.attributes("LoadBalancer")
    ours, theirs = attributes("target-group-attributes"), VALKEY.attributes("TargetGroup")
    assert ours["load_balancing.algorithm.type"] == theirs["load_balancing.algorithm.type"]
    assert set(ours) == set(theirs)
    group, listener = VALKEY["TargetGroup"], VALKEY["HttpsListener"]
    for name, value in {
        "target-type": group["TargetType"],
        "healthcheck-interval-seconds": group["HealthCheckIntervalSeconds"],
        "healthcheck-timeout-seconds": group["HealthCheckTimeoutSeconds"],
        "healthy-threshold-count": group["HealthyThresholdCount"],
        "unhealthy-threshold-count": group["UnhealthyThresholdCount"],
        "ssl-policy": listener["SslPolicy"],
    }.items():
        assert ANNOTATIONS[f"alb.ingress.kubernetes.io/{name}"] == str(value)


def test_nginx_passes_events_on_at_once_and_waits_longer_than_a_heartbeat() -> None:
    assert ANNOTATIONS["nginx.ingress.kubernetes.io/proxy-buffering"] == "off"
    heartbeat = Settings.model_fields["heartbeat_seconds"].default
    assert int(ANNOTATIONS["nginx.ingress.kubernetes.io/proxy-read-timeout"]) > heartbeat


# ---- The page about it


def test_the_page_names_the_versions_whose_schemas_are_tried() -> None:
    assert f"Kubernetes {OLDEST} or newer" in PAGE
    assert f"the schemas of Kubernetes {OLDEST} and " in PAGE


def test_the_pages_secret_is_that_of_the_manifests() -> None:
    command = r"create secret generic .*\n.*--from-literal.*"
    [on_page], [in_head] = re.findall(command, PAGE), re.findall(command, TEXT)
    assert on_page.split() == in_head.replace("#", "").split()


def test_the_prometheus_operator_finds_the_admin_port() -> None:
    assert POD_MONITOR["spec"]["selector"] == DEPLOYMENT["selector"]
    [endpoint] = POD_MONITOR["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] in PORTS
    assert endpoint == CONTAINER["livenessProbe"]["httpGet"]


def test_the_adapter_and_keda_scale_by_the_same_numbers_as_the_manifests() -> None:
    scaler = MANIFESTS["HorizontalPodAutoscaler"]["spec"]
    streams, cpu = scaler["metrics"]
    [rule] = ADAPTER["rules"]["custom"]
    by_streams, by_cpu = SCALED_OBJECT["spec"]["triggers"]
    for query in (rule["seriesQuery"], by_streams["metadata"]["query"]):
        assert streams["pods"]["metric"]["name"] + "{" in query
    assert by_streams["metadata"]["threshold"] == streams["pods"]["target"]["averageValue"]
    assert by_cpu["metadata"]["value"] == str(cpu["resource"]["target"]["averageUtilization"])
    keda = SCALED_OBJECT["spec"]
    assert (keda["minReplicaCount"], keda["maxReplicaCount"]) == (scaler["minReplicas"], scaler["maxReplicas"])
    assert keda["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == scaler["behavior"]
    assert keda["scaleTargetRef"] == {"name": scaler["scaleTargetRef"]["name"]}
