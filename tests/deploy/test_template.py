"""The template is valid, and its values fit each other and the service."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sse_service.http.uvicorn.server import CLOSE_SECONDS, KEEP_ALIVE_SECONDS
from sse_service.settings.identity import WAYS
from sse_service.settings.settings import Settings
from tests.deploy.template import ALL, MEMORY, PATH, VALKEY, Template, raw, statements
from tests.integration.process import PROGRAM_DEADLINE

DRAINS = raw()["Parameters"]["DrainSeconds"]["AllowedValues"]
FARGATE_MOST_STOP_SECONDS = 120


def test_cfn_lint_finds_nothing() -> None:
    command = [str(Path(sys.executable).with_name("cfn-lint")), "--regions", "us-east-1", "--", str(PATH)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PROGRAM_DEADLINE, check=False)
    assert done.returncode == 0, done.stdout


def test_the_template_needs_no_upload_to_s3() -> None:
    # CloudFormation accepts 51,200 bytes without an upload to S3.
    assert PATH.stat().st_size < 51_200


def test_only_parameters_without_a_sensible_default_are_required() -> None:
    needed = {name for name, value in raw()["Parameters"].items() if "Default" not in value}
    assert needed == {"Image", "Vpc", "Subnets", "Certificate"}


# ---- Times


def test_the_idle_timeout_is_between_heartbeat_and_keep_alive() -> None:
    idle = int(VALKEY.attributes("LoadBalancer")["idle_timeout.timeout_seconds"])
    assert Settings.model_fields["heartbeat_seconds"].default < idle < KEEP_ALIVE_SECONDS


@pytest.mark.parametrize("drain", DRAINS)
def test_a_task_has_time_to_close_its_streams(drain: str) -> None:
    template = Template(DrainSeconds=drain)
    seconds = int(template.environment["SSE_DRAIN_SECONDS"])
    assert seconds == int(drain)
    assert seconds + CLOSE_SECONDS < template.container["StopTimeout"] <= FARGATE_MOST_STOP_SECONDS
    assert template.container["StopTimeout"] == seconds + 10
    assert int(template.attributes("TargetGroup")["deregistration_delay.timeout_seconds"]) >= seconds


def test_the_drain_is_the_services_own_default() -> None:
    assert int(VALKEY.environment["SSE_DRAIN_SECONDS"]) == Settings.model_fields["drain_seconds"].default


def test_redelivered_messages_are_within_the_dedupe_window() -> None:
    queue = VALKEY["Queue"]
    receives = queue["RedrivePolicy"]["maxReceiveCount"]
    assert receives == 5
    assert queue["VisibilityTimeout"] * receives <= Settings.model_fields["dedupe_seconds"].default


def test_the_load_balancer_checks_healthz_and_not_readyz() -> None:
    group = VALKEY["TargetGroup"]
    assert (group["HealthCheckPath"], group["Matcher"]) == ("/healthz", {"HttpCode": "200"})
    assert VALKEY["Service"]["HealthCheckGracePeriodSeconds"] >= 60


# ---- Topic, queue and encryption


def test_topic_and_queues_are_encrypted_with_the_stacks_own_key() -> None:
    for name in ("Topic", "Queue", "DeadLetters", "Undelivered"):
        assert VALKEY[name]["KmsMasterKeyId"] == {"Ref": "Key"}
    assert VALKEY["Key"]["EnableKeyRotation"] is True


def test_only_the_topic_sends_to_the_queues() -> None:
    for policy, queue in (("QueuePolicy", "Queue"), ("UndeliveredPolicy", "Undelivered")):
        [statement] = VALKEY[policy]["PolicyDocument"]["Statement"]
        assert statement["Principal"] == {"Service": "sns.amazonaws.com"}
        assert statement["Action"] == "sqs:SendMessage"
        assert statement["Resource"] == {"Fn::GetAtt": [queue, "Arn"]}
        assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": {"Ref": "Topic"}}}


def test_sns_may_use_the_key_for_this_stacks_topic_alone() -> None:
    [statement] = [s for s in statements(VALKEY["Key"]) if s["Principal"] == {"Service": "sns.amazonaws.com"}]
    assert statement["Action"] == ["kms:GenerateDataKey", "kms:Decrypt"]
    arn = statement["Condition"]["ArnLike"]["aws:SourceArn"]["Fn::Sub"]
    assert arn.endswith(":sns:${AWS::Region}:${AWS::AccountId}:${AWS::StackName}-Topic-*")
    assert "TopicName" not in VALKEY["Topic"]  # the name that CloudFormation makes fits


def test_messages_that_sns_cannot_deliver_are_kept() -> None:
    assert VALKEY["Subscription"]["RedrivePolicy"] == {"deadLetterTargetArn": {"Fn::GetAtt": ["Undelivered", "Arn"]}}
    assert "RawMessageDelivery" not in VALKEY["Subscription"]
    assert {"QueuePolicy", "UndeliveredPolicy"} <= set(VALKEY.resources["Subscription"]["DependsOn"])


def test_sqs_and_sns_have_separate_dead_letter_queues() -> None:
    # SQS moves messages back only from a queue that it has filled itself (StartMessageMoveTask).
    target = VALKEY["Queue"]["RedrivePolicy"]["deadLetterTargetArn"]
    assert target == {"Fn::GetAtt": ["DeadLetters", "Arn"]} != VALKEY["Subscription"]["RedrivePolicy"]
    for name in ("DeadLetters", "Undelivered"):
        assert VALKEY[name]["MessageRetentionPeriod"] == 14 * 86_400
        [watched] = VALKEY[f"{name}Alarm"]["Dimensions"]
        assert watched["Value"] == {"Fn::GetAtt": [name, "QueueName"]}
        assert VALKEY[f"{name}Alarm"]["AlarmDescription"].endswith("deploy/incidents.md.")


@pytest.mark.parametrize(("allowed", "service"), [("AllowS3", "s3"), ("AllowEventBridge", "events")])
def test_s3_and_eventbridge_may_publish_only_if_allowed(allowed: str, service: str) -> None:
    principal = {"Service": f"{service}.amazonaws.com"}
    assert "TopicPolicy" not in VALKEY.resources
    assert principal not in [s["Principal"] for s in statements(VALKEY["Key"])]
    asked = Template(**{allowed: "yes"})
    for name in ("TopicPolicy", "Key"):
        assert [s["Principal"] for s in statements(asked[name])].count(principal) == 1


# ---- Settings


def test_empty_parameters_do_not_override_the_settings_file() -> None:
    optional = {"SSE_CORS_ORIGINS", "SSE_S3_KEY_PATTERN", "SSE_ADMIN_HOST"}
    for template in ALL:
        assert not optional & set(template.environment)
        assert "" not in template.environment.values()
    for template in (VALKEY, MEMORY):
        assert not {f"SSE_{name.upper()}" for name in (*WAYS, "jwt_issuer", "jwt_audience")} & set(template.environment)
    given = Template(CorsOrigins="https://app.example.com", S3KeyPattern="users/{user}/*", AdminFrom="sg-1")
    values = {name: given.environment[name] for name in optional}
    assert values == {
        "SSE_CORS_ORIGINS": "https://app.example.com",
        "SSE_S3_KEY_PATTERN": "users/{user}/*",
        "SSE_ADMIN_HOST": "0.0.0.0",
    }


# ---- Network


def test_the_admin_port_is_open_only_to_the_named_group() -> None:
    [*_, rule] = Template(AdminFrom="sg-1")["TaskGroup"]["SecurityGroupIngress"]
    assert rule["FromPort"] == rule["ToPort"] == Settings.model_fields["admin_port"].default
    assert rule["SourceSecurityGroupId"] == "sg-1"
    assert "CidrIp" not in rule
    pattern = re.compile(raw()["Parameters"]["AdminFrom"]["AllowedPattern"])
    assert [bool(pattern.fullmatch(text)) for text in ("", "sg-0a1b", "0.0.0.0/0")] == [True, True, False]


def test_only_the_load_balancer_reaches_tasks_and_only_tasks_reach_valkey() -> None:
    [to_task] = VALKEY["TaskGroup"]["SecurityGroupIngress"]
    assert to_task["SourceSecurityGroupId"] == {"Fn::GetAtt": ["LoadBalancerGroup", "GroupId"]}
    [to_valkey] = VALKEY["ValkeyGroup"]["SecurityGroupIngress"]
    assert to_valkey["SourceSecurityGroupId"] == {"Fn::GetAtt": ["TaskGroup", "GroupId"]}
    assert "AWS::EC2::SecurityGroupIngress" not in [resource["Type"] for resource in VALKEY.resources.values()]


def test_all_parts_name_the_same_port() -> None:
    [mapping] = VALKEY.container["PortMappings"]
    [balanced] = VALKEY["Service"]["LoadBalancers"]
    [rule] = VALKEY["TaskGroup"]["SecurityGroupIngress"]
    way = VALKEY["LoadBalancerToTasks"]
    said = VALKEY.container["Command"][-1], mapping["ContainerPort"], balanced["ContainerPort"], rule["FromPort"]
    assert {str(port) for port in (*said, rule["ToPort"], way["FromPort"], way["ToPort"])} == {"8000"}


def test_browsers_use_https_and_http_2() -> None:
    https, http = VALKEY["HttpsListener"], VALKEY["HttpListener"]
    assert (https["Port"], https["Protocol"]) == (443, "HTTPS")
    assert "TLS13-1-2" in https["SslPolicy"]
    assert http["DefaultActions"][0]["RedirectConfig"]["Protocol"] == "HTTPS"
    assert VALKEY.attributes("LoadBalancer")["routing.http2.enabled"] == "true"


@pytest.mark.parametrize(
    ("subnets", "said", "public"),
    [
        ("", "auto", "ENABLED"),
        ("subnet-3,subnet-4", "auto", "DISABLED"),
        ("subnet-3,subnet-4", "ENABLED", "ENABLED"),
        ("", "DISABLED", "DISABLED"),
    ],
)
def test_tasks_have_a_public_address_if_they_need_one(subnets: str, said: str, public: str) -> None:
    template = Template(TaskSubnets=subnets, AssignPublicIp=said)
    network = template["Service"]["NetworkConfiguration"]["AwsvpcConfiguration"]
    assert network["AssignPublicIp"] == public
    assert network["Subnets"] == (subnets or "subnet-1,subnet-2").split(",") == template["ValkeySubnets"]["SubnetIds"]


def test_a_domain_name_becomes_an_alias_only_with_its_zone() -> None:
    assert "Alias" not in Template(DomainName="push.example.com").resources
    assert Template(DomainName="push.example.com", HostedZone="Z1")["Alias"]["Name"] == "push.example.com"
    assert "Alias" not in Template(HostedZone="Z1").resources


def test_a_zone_without_a_name_is_refused() -> None:
    assert Template(HostedZone="Z1").refusals == ["HostedZone needs DomainName, the name that is made in it."]
    named = {"DomainName": "push.example.com"}
    for template in (VALKEY, Template(**named), Template(HostedZone="Z1", **named)):
        assert not template.refusals


# ---- Valkey, or none


def test_valkey_has_no_cluster_mode_encrypts_and_never_evicts() -> None:
    valkey = VALKEY["Valkey"]
    assert VALKEY["ValkeyParameters"]["Properties"] == {"maxmemory-policy": "noeviction"}
    assert valkey["CacheParameterGroupName"] == {"Ref": "ValkeyParameters"}
    assert VALKEY["ValkeyParameters"]["CacheParameterGroupFamily"] == f"valkey{valkey['EngineVersion'].split('.')[0]}"
    assert valkey["Engine"] == "valkey"
    assert valkey["TransitEncryptionEnabled"] is valkey["AtRestEncryptionEnabled"] is True
    assert not {"NumNodeGroups", "ReplicasPerNodeGroup", "NodeGroupConfiguration"} & set(valkey)
    assert VALKEY.environment["SSE_BROKER_URL"]["Fn::Sub"] == "rediss://${Valkey.PrimaryEndPoint.Address}:6379/0"


@pytest.mark.parametrize(("replica", "nodes", "takes_over"), [("yes", 2, True), ("no", 1, False)])
def test_a_replica_takes_over_if_there_is_one(replica: str, nodes: int, takes_over: bool) -> None:
    valkey = Template(ValkeyReplica=replica)["Valkey"]
    assert valkey["NumCacheClusters"] == nodes
    assert valkey["AutomaticFailoverEnabled"] is valkey["MultiAZEnabled"] is takes_over


def test_with_valkey_tasks_are_replaced_one_by_one_and_scaled() -> None:
    service = VALKEY["Service"]
    assert (service["DeploymentConfiguration"]["MinimumHealthyPercent"], VALKEY.environment["SSE_SINGLE_TASK"]) == (
        100,
        "false",
    )
    assert "DesiredCount" not in service  # a deploy would undo what scaling has done
    scaled = VALKEY["Scaling"]
    assert int(scaled["MinCapacity"]) >= 2
    assert {"ScalingByStreams", "ScalingByCpu"} == set(VALKEY.of_type("AWS::ApplicationAutoScaling::ScalingPolicy"))


def test_with_the_memory_broker_there_is_one_task_and_never_two() -> None:
    service = MEMORY["Service"]
    assert service["DesiredCount"] == 1
    assert service["DeploymentConfiguration"]["MaximumPercent"] == 100
    assert service["DeploymentConfiguration"]["MinimumHealthyPercent"] == 0
    assert service["AvailabilityZoneRebalancing"] == "DISABLED"
    assert MEMORY.environment["SSE_BROKER_URL"] == "memory://"
    assert MEMORY.environment["SSE_SINGLE_TASK"] == "true"
    kinds = {resource["Type"].rpartition("::")[0] for resource in MEMORY.resources.values()}
    assert not {"AWS::ElastiCache", "AWS::ApplicationAutoScaling"} & kinds


def test_with_the_memory_broker_a_replaced_task_is_deregistered_at_once() -> None:
    # ECS may start the next one meanwhile, and sends SIGTERM only after the deregistration delay.
    for drain in DRAINS:
        attributes = Template(Broker="memory", DrainSeconds=drain).attributes("TargetGroup")
        assert attributes["deregistration_delay.timeout_seconds"] == "0"
    assert MEMORY["NoTaskAlarm"]["EvaluationPeriods"] > VALKEY["NoTaskAlarm"]["EvaluationPeriods"]


def test_the_outputs_for_rotating_valkeys_password_exist_only_with_valkey() -> None:
    names = {"ValkeyId", "ValkeySecretArn"}
    assert names <= set(VALKEY.outputs)
    assert not names & set(MEMORY.outputs)


def test_no_reference_to_a_resource_that_its_condition_leaves_out() -> None:
    for template in (*ALL, Template(Broker="memory", ValkeyReplica="no")):
        left_out = set(raw()["Resources"]) - set(template.resources)
        text = json.dumps([template.resources, template.outputs])
        assert not [name for name in left_out if f'"{name}"' in text or f"${{{name}}}" in text or f"${{{name}." in text]


def test_a_failed_deploy_is_rolled_back() -> None:
    for template in ALL:
        breaker = template["Service"]["DeploymentConfiguration"]["DeploymentCircuitBreaker"]
        assert breaker == {"Enable": True, "Rollback": True}
