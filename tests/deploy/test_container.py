"""The container that the template defines, and its monitoring."""

import ast
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sse_service.settings.names import unknown_variables
from sse_service.settings.settings import Settings
from sse_service.telemetry import emf
from tests.deploy.template import ALL, MEMORY, PATH, VALKEY, Template
from tests.integration.process import DEADLINE

# ---- The container


def test_every_variable_is_a_setting_of_the_service() -> None:
    for template in ALL:
        names = [*template.environment, *(secret["Name"] for secret in template.container["Secrets"])]
        assert unknown_variables(dict.fromkeys(names, "")) == []
        assert len(names) == len(set(names))


@pytest.mark.parametrize("template", [VALKEY, MEMORY], ids=["valkey", "memory"])
def test_the_service_starts_with_the_templates_variables(template: Template, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {
        "SSE_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/push-Queue-1",
        "SSE_TOPIC_ARN": "arn:aws:sns:us-east-1:123456789012:push-Topic-1",
        "SSE_BROKER_URL": "rediss://master.push.example.com:6379/0",
        "SSE_EMF_NAMESPACE": "sse-service/push",
    }
    template.set_environment(monkeypatch, known)
    settings = Settings()
    settings.check_for_serving()
    assert settings.in_memory is (template is MEMORY)


def test_the_container_is_read_only_and_may_open_enough_files() -> None:
    container = VALKEY.container
    assert container["ReadonlyRootFilesystem"] is True
    assert container["User"] == "10001:10001"
    [files] = container["Ulimits"]
    assert files["Name"] == "nofile"
    # A tenth of the descriptors, and 100, are kept back from SSE_MAX_STREAMS.
    assert files["HardLimit"] >= files["SoftLimit"] >= Settings.model_fields["max_streams"].default * 1.12 + 100
    assert container["LinuxParameters"] == {"InitProcessEnabled": True, "Capabilities": {"Drop": ["ALL"]}}


def test_ecs_exec_is_off() -> None:
    assert VALKEY["Service"]["EnableExecuteCommand"] is False
    assert "ssmmessages" not in PATH.read_text()
    assert '"command":["doctor",' in VALKEY.outputs["Doctor"]["Value"]["Fn::Sub"][0]


def test_the_health_check_needs_no_shell() -> None:
    kind, program, flag, code = VALKEY.container["HealthCheck"]["Command"]
    assert (kind, program, flag) == ("CMD", "python", "-ISc")
    ast.parse(code)
    assert "('127.0.0.1', 8000)" in code.replace('"', "'")


def test_the_health_check_tells_a_healthy_task_from_others_and_asks_no_proxy() -> None:
    *_, flag, code = VALKEY.container["HealthCheck"]["Command"]
    for status, passes in (("200 OK", True), ("503 Service Unavailable", False)):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            asked = subprocess.Popen(
                [sys.executable, flag, code.replace("8000", str(port))],
                env={"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"},
                stderr=subprocess.DEVNULL,
            )
            server.settimeout(DEADLINE)
            connection, _ = server.accept()
            with connection:
                assert connection.recv(1024).startswith(b"GET /healthz HTTP/1.0\r\n")
                connection.sendall(f"HTTP/1.1 {status}\r\n\r\n".encode())
            assert (asked.wait(DEADLINE) == 0) is passes


def test_logging_does_not_block_the_service() -> None:
    options = VALKEY.container["LogConfiguration"]["Options"]
    assert options["mode"] == "non-blocking"
    assert options["awslogs-group"] == {"Ref": "Logs"}
    assert int(VALKEY["Logs"]["RetentionInDays"]) > 0


# ---- Monitoring

METRICS = {
    *("StreamsOpen", "Ready", "Gaps", "SlowReadersCut", "EventsStored", "EventsDelivered", "MessagesRejected"),
    *("StreamsOpened", "StreamsRefused", "PublishToWriteMilliseconds"),
}


def test_every_alarm_says_what_to_do_and_notifies_when_it_starts_and_ends() -> None:
    alarms = Template(AlarmEmail="ops@example.com", AlarmTopic="arn:aws:sns:us-east-1:123456789012:ops").of_type(
        "AWS::CloudWatch::Alarm"
    )
    for alarm in alarms.values():
        assert alarm["AlarmDescription"].endswith("deploy/incidents.md.")
        assert len(alarm["AlarmDescription"]) <= 1024
        assert (
            alarm["AlarmActions"]
            == alarm["OKActions"]
            == [{"Ref": "AlarmMails"}, "arn:aws:sns:us-east-1:123456789012:ops"]
        )
    assert set(alarms) == {
        *("DeadLettersAlarm", "BacklogAlarm", "GapsAlarm", "SlowReadersAlarm", "NoTaskAlarm", "NotReadyAlarm"),
        *("UndeliveredAlarm", "ValkeyMemoryAlarm"),
    }


def test_without_recipients_there_is_no_alarm_topic() -> None:
    assert "AlarmMails" not in VALKEY.resources
    assert VALKEY["BacklogAlarm"]["AlarmActions"] == []


def test_alarms_and_scaling_use_metrics_that_exist() -> None:
    namespace = VALKEY.environment["SSE_EMF_NAMESPACE"]
    found = set()
    for metric in _metrics([resource.get("Properties") for resource in VALKEY.resources.values()]):
        if metric["Namespace"] == namespace:
            assert not metric.get("Dimensions")
            found.add(metric["MetricName"])
    assert found == {"StreamsOpen", "StreamsOpened", "Gaps", "SlowReadersCut", "Ready"} <= METRICS


def test_the_service_writes_the_metrics_that_the_template_uses() -> None:
    written = Path(emf.__file__).read_text()
    assert not [name for name in METRICS if f'"{name}"' not in written]


def test_the_alarm_on_unhealthy_tasks_also_fires_without_tasks() -> None:
    for name in ("NoTaskAlarm", "NotReadyAlarm"):
        alarm = VALKEY[name]
        assert (alarm["Statistic"], alarm["ComparisonOperator"], alarm["Threshold"]) == (
            "Maximum",
            "LessThanThreshold",
            1,
        )
        assert alarm["TreatMissingData"] == "breaching"
        assert VALKEY.resources[name]["DependsOn"] == "Service"


@pytest.mark.parametrize("template", [VALKEY, MEMORY], ids=["valkey", "memory"])
def test_the_dashboard_is_json_and_shows_every_metric_once(template: Template) -> None:
    text, given = template["Dashboard"]["DashboardBody"]["Fn::Sub"]
    widget = given["ValkeyWidget"]
    body = json.loads(text.replace("${ValkeyWidget}", widget and widget["Fn::Sub"]))
    assert len(body["widgets"]) == (6 if template is MEMORY else 7)
    for metric in METRICS:
        assert text.count(f'"{metric}"') == 1


def _metrics(value: Any) -> list[dict[str, Any]]:
    """Return all metrics in a value."""
    if isinstance(value, list):
        return [metric for item in value for metric in _metrics(item)]
    if not isinstance(value, dict):
        return []
    here = [value] if {"Namespace", "MetricName"} <= set(value) else []
    return here + [metric for item in value.values() for metric in _metrics(item)]
