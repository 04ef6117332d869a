"""Creates and updates the template's stack in an emulated AWS, and sends events through it.

bridges.py lists what the emulator cannot create.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from moto.core.common_models import CloudFormationModel

from sse_service.auth.tokens.signing import TokenSigner
from sse_service.dev.moto_server import MotoServer
from tests.deploy import bridges
from tests.deploy.template import GIVEN, PATH, SIGN_IN, Template, raw
from tests.integration.chain import SECRET, Chain, Stream, wait_until_ready
from tests.integration.load_balancer import KID, NAME, LoadBalancer, keys_endpoint, pem
from tests.integration.process import Process
from tests.integration.valkey import Valkey


class Stack:
    """A stack in a new emulator."""

    def __init__(self, server: MotoServer) -> None:
        self.endpoint_url = server.url
        self.aws = bridges.clients(server.url)
        vpc = self.aws("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        subnets = [
            self.aws("ec2").create_subnet(
                VpcId=vpc, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=f"us-east-1{zone}"
            )
            for number, zone in enumerate("ab")
        ]
        certificate = self.aws("acm").request_certificate(DomainName="push.example.com")
        self._given = {
            **GIVEN,
            "Vpc": vpc,
            "Subnets": ",".join(made["Subnet"]["SubnetId"] for made in subnets),
            "Certificate": certificate["CertificateArn"],
        }

    def create(self, **parameters: str) -> None:
        self._given.update(parameters)
        self.aws("cloudformation").create_stack(**self._request())
        assert self._described()["StackStatus"] == "CREATE_COMPLETE"

    def update(self, **parameters: str) -> None:
        self._given.update(parameters)
        self.aws("cloudformation").update_stack(**self._request())
        assert self._described()["StackStatus"] == "UPDATE_COMPLETE"

    @property
    def made(self) -> dict[str, str]:
        """The physical id of each resource."""
        answer = self.aws("cloudformation").list_stack_resources(StackName="push")
        made = {item["LogicalResourceId"]: item["PhysicalResourceId"] for item in answer["StackResourceSummaries"]}
        # moto lists resources whose condition is false, without an id.
        return {name: called for name, called in made.items() if name}

    @property
    def outputs(self) -> dict[str, str]:
        return {output["OutputKey"]: output["OutputValue"] for output in self._described()["Outputs"]}

    @property
    def service(self) -> Any:
        [service] = self.aws("ecs").describe_services(
            cluster=self.outputs["ClusterName"], services=[self.outputs["ServiceName"]]
        )["services"]
        return service

    @property
    def container(self) -> Any:
        """The task definition of the service."""
        definition = self.aws("ecs").describe_task_definition(taskDefinition=self.service["taskDefinition"])
        [container] = definition["taskDefinition"]["containerDefinitions"]
        return container

    def environment(self) -> dict[str, str]:
        """Return the container's environment as ECS sets it, and the variables for the emulator."""
        plain = {variable["name"]: variable["value"] for variable in self.container["environment"]}
        secret = {variable["name"]: self.secret(variable["valueFrom"]) for variable in self.container["secrets"]}
        emulated = {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "NO_PROXY": "127.0.0.1",
        }
        return {**plain, **secret, **emulated}

    def secret(self, arn: str) -> str:
        value: str = self.aws("secretsmanager").get_secret_value(SecretId=arn)["SecretString"]
        return value

    def _described(self) -> Any:
        [stack] = self.aws("cloudformation").describe_stacks(StackName="push")["Stacks"]
        return stack

    def _request(self) -> dict[str, Any]:
        given = [{"ParameterKey": name, "ParameterValue": value} for name, value in self._given.items()]
        body = PATH.read_text()
        return {"StackName": "push", "TemplateBody": body, "Parameters": given, "Capabilities": ["CAPABILITY_IAM"]}


@pytest.fixture
def stack() -> Iterator[Stack]:
    bridges.install()
    server = MotoServer()
    try:
        empty = Stack(server)
        bridges.Bridge.clients = staticmethod(empty.aws)
        yield empty
    finally:
        server.stop()


@contextmanager
def task(stack: Stack, *, program: Sequence[str] = ("sse_service",), **changed: str) -> Iterator[Chain]:
    """Run the service with the environment of the created task definition, but on free ports."""
    command = stack.container["command"]
    assert command == ["serve", "--host", "0.0.0.0", "--port", "8000"]
    env = {**stack.environment(), "SSE_ADMIN_PORT": "0", **changed}
    with Process(*program, *command[:3], "--port", "0", env=env) as process:
        port = process.wait_for(r"listening on http://0\.0\.0\.0:(\d+)")[1]
        chain = Chain(
            queue=stack.endpoint_url,
            url=f"http://127.0.0.1:{port}",
            admin="",
            process=process,
            signer=TokenSigner(secret=env.get("SSE_JWT_SECRET", SECRET)),
        )
        with chain.client:
            wait_until_ready(chain)
            yield chain


def test_outputs_are_valid_commands(stack: Stack) -> None:
    stack.create(DomainName="push.example.com")
    for name in ("Listen", "Publish", "Doctor"):
        assert bash_reads(stack.outputs[name])
        assert "\n" not in stack.outputs[name]
    assert stack.outputs["ValkeyId"] == stack.made["Valkey"]
    assert stack.secret(stack.outputs["ValkeySecretArn"])


def bash_reads(command: str) -> bool:
    return subprocess.run(["bash", "-n", "-c", command], check=False).returncode == 0


def test_the_admin_group_reaches_the_admin_port(stack: Stack) -> None:
    group = stack.aws("ec2").create_security_group(GroupName="operators", Description="operators")["GroupId"]
    stack.create(Broker="memory", AdminFrom=group)
    [made] = stack.aws("ec2").describe_security_groups(GroupIds=[stack.made["TaskGroup"]])["SecurityGroups"]
    let_in = {
        rule["FromPort"]: [pair["GroupId"] for pair in rule["UserIdGroupPairs"]] for rule in made["IpPermissions"]
    }
    assert let_in == {8000: [stack.made["LoadBalancerGroup"]], 8001: [group]}
    with task(stack) as running:
        port = running.process.wait_for(r"metrics on http://0\.0\.0\.0:(\d+)/metrics")[1]
        assert running.client.get(f"http://127.0.0.1:{port}/").status_code == 200


def publish(stack: Stack, text: str) -> None:
    """Publish as the output ``Publish`` does."""
    attributes = {"user_id": {"DataType": "String", "StringValue": "42"}}
    stack.aws("sns").publish(TopicArn=stack.outputs["TopicArn"], Message=text, MessageAttributes=attributes)


def test_every_resource_is_created(stack: Stack) -> None:
    stack.create(AllowS3="yes", AlarmEmail="ops@example.com")
    assert set(stack.made) == set(Template(AllowS3="yes", AlarmEmail="ops@example.com").resources)
    assert len(stack.aws("cloudwatch").describe_alarms(AlarmNamePrefix="push-")["MetricAlarms"]) == 8
    [group] = stack.aws("elasticache").describe_replication_groups()["ReplicationGroups"]
    assert group["AuthTokenEnabled"] is group["TransitEncryptionEnabled"] is True
    [scaled] = stack.aws("application-autoscaling").describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"]
    assert (scaled["MinCapacity"], scaled["MaxCapacity"]) == (2, 6)


def test_no_bridge_is_unnecessary() -> None:
    bridges.install()
    assert set(bridges.BRIDGED) <= {resource["Type"] for resource in raw()["Resources"].values()}
    known = [model for model in CloudFormationModel.__subclasses__() if model.__module__.startswith("moto.")]
    assert not {model.cloudformation_type() for model in known} & set(bridges.BRIDGED)


def test_the_queue_is_subscribed_to_the_topic(stack: Stack) -> None:
    stack.create()
    sns, sqs = stack.aws("sns"), stack.aws("sqs")
    [subscription] = sns.list_subscriptions_by_topic(TopicArn=stack.outputs["TopicArn"])["Subscriptions"]
    queue = sqs.get_queue_attributes(QueueUrl=stack.outputs["QueueUrl"], AttributeNames=["All"])["Attributes"]
    assert subscription["Endpoint"] == queue["QueueArn"]
    assert '"maxReceiveCount": 5' in queue["RedrivePolicy"]
    kept = sns.get_subscription_attributes(SubscriptionArn=subscription["SubscriptionArn"])["Attributes"]
    undelivered = sqs.get_queue_attributes(QueueUrl=stack.outputs["UndeliveredQueueUrl"], AttributeNames=["All"])
    assert undelivered["Attributes"]["QueueArn"] in kept["RedrivePolicy"]
    assert stack.outputs["TopicArn"] in undelivered["Attributes"]["Policy"]
    assert stack.outputs["DeadLetterQueueArn"] in queue["RedrivePolicy"]
    assert stack.outputs["TopicArn"] in queue["Policy"]
    # The key's policy allows SNS to use it for topics with this name.
    assert stack.outputs["TopicArn"].startswith("arn:aws:sns:us-east-1:123456789012:push-Topic-")


def test_an_event_reaches_a_stream_with_one_task(stack: Stack) -> None:
    stack.create(Broker="memory")
    with task(stack) as running, running.stream() as stream:
        publish(stack, '{"step":1}')
        assert stream.wait_for('{"step":1}').type == "message"


def test_an_event_reaches_a_stream_with_two_tasks_and_valkey(stack: Stack) -> None:
    stack.create()
    password = stack.secret(stack.made["ValkeySecret"])
    with Valkey("--requirepass", password) as valkey:
        # ElastiCache's endpoint and TLS are not available here. The password is the stack's.
        local = {"SSE_BROKER_URL": valkey.url}
        with (
            task(stack, **local) as one,
            task(stack, **local) as two,
            one.stream() as first,
            two.stream() as second,
        ):
            publish(stack, '{"step":1}')
            for stream in (first, second):
                stream.wait_for('{"step":1}')


def test_users_whom_the_load_balancer_signs_in_get_their_events(stack: Stack) -> None:
    client = stack.aws("secretsmanager").create_secret(Name="client", SecretString="the-secret")["ARN"]
    stack.create(**{**SIGN_IN, "OidcClientSecretArn": client}, Broker="memory", OwnTokens="no")
    balancers = stack.aws("elbv2")
    [made] = balancers.describe_load_balancers()["LoadBalancers"]
    assert stack.environment()["SSE_ALB_ARN"] == made["LoadBalancerArn"]
    assert "SSE_JWT_SECRET" not in stack.environment()
    assert "JwtSecretArn" not in stack.outputs

    listeners = balancers.describe_listeners(LoadBalancerArn=made["LoadBalancerArn"])["Listeners"]
    [https] = [listener for listener in listeners if listener["Port"] == 443]
    assert [action["Type"] for action in https["DefaultActions"]] == ["authenticate-oidc", "forward"]
    rules = balancers.describe_rules(ListenerArn=https["ListenerArn"])["Rules"]
    [rule] = [rule for rule in rules if not rule["IsDefault"]]
    assert [action["Type"] for action in rule["Actions"]] == ["authenticate-oidc", "redirect"]

    balancer = LoadBalancer()
    with keys_endpoint() as keys:
        keys.keys[KID] = pem(balancer.key)
        with task(stack, program=("tests.integration.alb_service", keys.url)) as running:
            header = {NAME: balancer.header(signer=made["LoadBalancerArn"])}
            with running.client.stream("GET", f"{running.url}/events", headers=header) as response:
                stream = Stream(response)
                stream.wait_for("stream.ready")
                publish(stack, '{"step":1}')
                stream.wait_for('{"step":1}')
                stream.close()


def test_doctor_finds_nothing_wrong(stack: Stack) -> None:
    stack.create()
    options = ("--maxmemory", "256mb", "--maxmemory-policy", "noeviction")
    with Valkey("--requirepass", stack.secret(stack.made["ValkeySecret"]), *options) as valkey:
        local = {"SSE_BROKER_URL": valkey.url}
        with task(stack, **local) as running:
            env = {**stack.environment(), **local}
            with Process("sse_service", "doctor", "--url", running.url, env=env) as doctor:
                assert doctor.wait() == 0, doctor.output
            assert not re.search(r"^(warn|fail)", doctor.output, re.MULTILINE), doctor.output


def test_an_update_replaces_the_task_definition_and_keeps_queues_and_secrets(stack: Stack) -> None:
    stack.create(Broker="memory")
    before = {**stack.outputs}
    token = TokenSigner(secret=stack.secret(before["JwtSecretArn"])).sign("42")
    publish(stack, '{"step":1}')  # before the update, and not yet read

    stack.update(Image="registry.example.com/sse-service:2", DrainSeconds="50", LogDays="7")
    assert stack.container["image"] == "registry.example.com/sse-service:2"
    assert stack.container["stopTimeout"] == 60
    assert stack.service["taskDefinition"].endswith("task-definition/push:2")
    assert {name for name, value in stack.outputs.items() if value != before[name]} == {"Doctor"}

    with task(stack) as running:
        answer = running.client.post(f"{running.url}/session", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 204
        with running.stream(since="all") as stream:
            stream.wait_for('{"step":1}')


def test_scaling_and_alarms_follow_an_update(stack: Stack) -> None:
    stack.create()
    stack.update(MaxTasks="9", AlarmTopic="arn:aws:sns:us-east-1:123456789012:ops")
    [scaled] = stack.aws("application-autoscaling").describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"]
    assert scaled["MaxCapacity"] == 9
    alarms = stack.aws("cloudwatch").describe_alarms(AlarmNamePrefix="push-")["MetricAlarms"]
    assert {tuple(alarm["AlarmActions"]) for alarm in alarms} == {("arn:aws:sns:us-east-1:123456789012:ops",)}
