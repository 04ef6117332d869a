"""Creates the resources that the emulator's CloudFormation does not support, through the services' own APIs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from moto.cloudformation import parsing
from moto.core.common_models import CloudFormationModel
from moto.ecs.models import Cluster, Service, TaskDefinition
from moto.elbv2.models import FakeLoadBalancer, FakeTargetGroup
from moto.kms.models import Key

Clients = Callable[[str], Any]
Made = tuple[str, dict[str, str]]
"""The value of ``Ref``, and the values of ``GetAtt``."""

REGION = "us-east-1"
_TARGET = ("ResourceId", "ScalableDimension", "ServiceNamespace")
"""The parts of a scalable target's ``Ref``."""


class Bridge:
    """The emulated account in which the bridges create a stack's resources."""

    clients: Clients


def clients(endpoint_url: str) -> Clients:
    """Return a function that makes clients of an emulator."""

    @cache
    def client(service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=endpoint_url,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(proxies={}, retries={"total_max_attempts": 1}),
        )

    return client


def _subscription(aws: Clients, properties: dict[str, Any], _: str) -> Made:
    redrive = {"RedrivePolicy": json.dumps(properties["RedrivePolicy"])}
    given = {name: value for name, value in properties.items() if name != "RedrivePolicy"}
    return aws("sns").subscribe(**given, Attributes=redrive, ReturnSubscriptionArn=True)["SubscriptionArn"], {}


def _queue_policy(aws: Clients, properties: dict[str, Any], name: str) -> Made:
    for url in properties["Queues"]:
        policy = json.dumps(properties["PolicyDocument"])
        aws("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    return name, {}


def _topic_policy(aws: Clients, properties: dict[str, Any], name: str) -> Made:
    for arn in properties["Topics"]:
        policy = json.dumps(properties["PolicyDocument"])
        aws("sns").set_topic_attributes(TopicArn=arn, AttributeName="Policy", AttributeValue=policy)
    return name, {}


def _secret(aws: Clients, properties: dict[str, Any], name: str) -> Made:
    manager = aws("secretsmanager")
    value = manager.get_random_password(**properties["GenerateSecretString"])["RandomPassword"]
    return manager.create_secret(Name=name, Description=properties["Description"], SecretString=value)["ARN"], {}


def _egress(aws: Clients, properties: dict[str, Any], name: str) -> Made:
    permission = {key: properties[key] for key in ("IpProtocol", "FromPort", "ToPort")}
    permission["UserIdGroupPairs"] = [{"GroupId": properties["DestinationSecurityGroupId"]}]
    aws("ec2").authorize_security_group_egress(GroupId=properties["GroupId"], IpPermissions=[permission])
    return name, {}


def _subnets(aws: Clients, properties: dict[str, Any], name: str) -> Made:
    aws("elasticache").create_cache_subnet_group(
        CacheSubnetGroupName=name,
        CacheSubnetGroupDescription=properties["Description"],
        SubnetIds=properties["SubnetIds"],
    )
    return name, {}


def _valkey(aws: Clients, properties: dict[str, Any], name: str) -> Made:
    arn = re.fullmatch(r"\{\{resolve:secretsmanager:(arn:.+):SecretString\}\}", properties["AuthToken"])
    assert arn, properties["AuthToken"]
    token = aws("secretsmanager").get_secret_value(SecretId=arn[1])["SecretString"]
    known = {**properties, "ReplicationGroupId": name[:40].lower(), "AuthToken": token}
    aws("elasticache").create_replication_group(**known)
    # moto reads ${Valkey.PrimaryEndPoint.Address} only up to the second dot.
    return known["ReplicationGroupId"], {"PrimaryEndPoint": f"master.{name.lower()}.example.com"}


def _alarm(aws: Clients, properties: dict[str, Any], name: str) -> Made:
    aws("cloudwatch").put_metric_alarm(AlarmName=name, **properties)
    return name, {}


def _target(aws: Clients, properties: dict[str, Any], _: str) -> Made:
    aws("application-autoscaling").register_scalable_target(**properties)
    return "|".join(properties[key] for key in _TARGET), {}


def _policy(aws: Clients, properties: dict[str, Any], _: str) -> Made:
    given = {name: value for name, value in properties.items() if name != "ScalingTargetId"}
    target = dict(
        zip(
            ("ResourceId", "ScalableDimension", "ServiceNamespace"),
            properties["ScalingTargetId"].split("|"),
            strict=True,
        )
    )
    return aws("application-autoscaling").put_scaling_policy(**target, **given)["PolicyARN"], {}


def _nothing(_: Clients, __: dict[str, Any], name: str) -> Made:
    return name, {}


BRIDGED: Mapping[str, Callable[[Clients, dict[str, Any], str], Made]] = {
    "AWS::ApplicationAutoScaling::ScalableTarget": _target,
    "AWS::ApplicationAutoScaling::ScalingPolicy": _policy,
    "AWS::CloudWatch::Alarm": _alarm,
    "AWS::EC2::SecurityGroupEgress": _egress,
    "AWS::ElastiCache::ParameterGroup": _nothing,
    "AWS::ElastiCache::ReplicationGroup": _valkey,
    "AWS::ElastiCache::SubnetGroup": _subnets,
    "AWS::SNS::Subscription": _subscription,
    "AWS::SNS::TopicPolicy": _topic_policy,
    "AWS::SQS::QueuePolicy": _queue_policy,
    "AWS::SecretsManager::Secret": _secret,
}
"""Types that moto 5.2 skips with a warning: it has the service, but its CloudFormation has no model of the type.

Each is created through the service's API with the template's properties, whose names and types botocore checks. moto's
ElastiCache has no parameter groups, so none is created. Valkey's dynamic reference, which moto leaves as text, is
resolved here.
"""

FIXED = (
    "AWS::NoValue",
    "KMS::Key",
    "ECS::Cluster",
    "ECS::TaskDefinition",
    "ECS::Service",
    "LoadBalancer",
    "TargetGroup",
)
"""Types whose emulation in moto needs a fix.

AWS::NoValue in a list becomes null. A key's policy is stored as an object, while KMS then expects text. A service
without DesiredCount gets no task (AWS: 1). The full names that CloudWatch needs are missing. An update replaces a
cluster without a name, registers a task definition with capitalized keys, which the API does not return, and leaves the
service at the old one.

Properties that moto drops are not fixed: attributes of load balancer and target group, network and deployment of a
service, egress of a security group, the policy of an updated key. test_template.py checks those. moto enforces no
policy and encrypts nothing, so no test here shows that a role's permissions suffice.
"""


def install() -> None:
    """Register the bridges with the emulator of this process. A second call does nothing."""
    if "AWS::SNS::Subscription" in parsing.get_model_map():
        return
    for kind, make in BRIDGED.items():
        _bridge(kind, make)
    _fix_moto()
    parsing.get_model_list.cache_clear()
    parsing.get_model_map.cache_clear()
    parsing.get_name_type_map.cache_clear()


def _bridge(kind: str, make: Callable[[Clients, dict[str, Any], str], Made]) -> None:
    class Bridged(CloudFormationModel):
        def __init__(self, made: Made) -> None:
            self.physical_resource_id, self._attributes = made

        @staticmethod
        def cloudformation_name_type() -> str:
            return ""

        @staticmethod
        def cloudformation_type() -> str:
            return kind

        @classmethod
        def create_from_cloudformation_json(
            cls, resource_name: str, cloudformation_json: Any, *_: Any, **__: Any
        ) -> Any:
            return cls(make(Bridge.clients, cloudformation_json["Properties"], resource_name))

        @classmethod
        def update_from_cloudformation_json(
            cls, original_resource: Any, new_resource_name: str, cloudformation_json: Any, *_: Any, **__: Any
        ) -> Any:
            name = original_resource.physical_resource_id if kind == "AWS::CloudWatch::Alarm" else new_resource_name
            return cls(make(Bridge.clients, cloudformation_json["Properties"], name))

        @classmethod
        def delete_from_cloudformation_json(cls, *_: Any, **__: Any) -> None:
            pass

        @classmethod
        def has_cfn_attr(cls, attr: str) -> bool:
            return True

        def get_cfn_attribute(self, attribute_name: str) -> str:
            return self._attributes[attribute_name]

        def is_created(self) -> bool:
            return True

    # moto finds its models among the subclasses, so they must not be garbage-collected.
    _KEPT.append(Bridged)


_KEPT: list[type] = []


def _replace(owner: Any, name: str, value: Any) -> None:
    setattr(owner, name, value)


def _fix_moto() -> None:
    clean, differing = parsing.clean_json, parsing.ResourceMap.build_resource_diff

    def with_the_service(*arguments: Any, **named: Any) -> Any:
        difference = differing(*arguments, **named)
        modified = difference["Modify"]
        if "TaskDefinition" in modified and "Service" not in modified:
            modified.append("Service")
        return difference

    def without_nothing(resource_json: Any, resources_map: Any) -> Any:
        cleaned = clean(resource_json, resources_map)
        return [item for item in cleaned if item is not None] if isinstance(cleaned, list) else cleaned

    _replace(parsing, "clean_json", without_nothing)
    _replace(parsing.ResourceMap, "build_resource_diff", with_the_service)
    registered, served = TaskDefinition.create_from_cloudformation_json, Service.create_from_cloudformation_json

    def update(original_resource: Any, new_resource_name: str, *arguments: Any, **named: Any) -> Any:
        return registered(new_resource_name, *arguments, **named)

    def create(resource_name: str, cloudformation_json: Any, *arguments: Any, **named: Any) -> Any:
        cloudformation_json["Properties"].setdefault("DesiredCount", 1)
        return served(resource_name, cloudformation_json, *arguments, **named)

    keyed = Key.create_from_cloudformation_json

    def key(resource_name: str, cloudformation_json: Any, *arguments: Any, **named: Any) -> Any:
        properties = cloudformation_json["Properties"]
        text = {**properties, "KeyPolicy": json.dumps(properties["KeyPolicy"])}
        return keyed(resource_name, {**cloudformation_json, "Properties": text}, *arguments, **named)

    def keep(original_resource: Any, *_: Any, **__: Any) -> Any:
        return original_resource

    _replace(Key, "create_from_cloudformation_json", staticmethod(key))
    _replace(Cluster, "update_from_cloudformation_json", staticmethod(keep))
    _replace(TaskDefinition, "update_from_cloudformation_json", staticmethod(update))
    _replace(Service, "create_from_cloudformation_json", staticmethod(create))
    balancer = FakeLoadBalancer.get_cfn_attribute

    def of_balancer(self: Any, name: str) -> Any:
        if name == "LoadBalancerFullName":
            return self.arn.partition(":loadbalancer/")[2]
        return balancer(self, name)

    def of_group(self: Any, name: str) -> Any:
        assert name == "TargetGroupFullName"
        return self.arn.rpartition(":")[2]

    _replace(FakeLoadBalancer, "get_cfn_attribute", of_balancer)
    _replace(FakeTargetGroup, "get_cfn_attribute", of_group)
