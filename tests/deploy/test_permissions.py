"""Permissions and secrets in the template."""

import json
import re
from typing import Any

import pytest

from tests.deploy.template import ALL, MEMORY, PATH, SIGN_IN, VALKEY, Template, listed, raw, statements


def test_secrets_are_generated_and_long_enough() -> None:
    for name in ("JwtSecret", "ValkeySecret"):
        made = VALKEY[name]["GenerateSecretString"]
        assert set(VALKEY[name]) == {"Description", "GenerateSecretString"}
        # HS256 needs 32 bytes; ElastiCache accepts 16 to 128 characters and few punctuation marks.
        assert 32 <= made["PasswordLength"] <= 128
        assert made["ExcludePunctuation"] is True


def test_no_secret_is_in_outputs_or_environment() -> None:
    for template in ALL:
        assert "resolve:secretsmanager" not in json.dumps(template.outputs)
        assert "Secret" not in json.dumps(template.container["Environment"])
        told = {name: value["Value"] for name, value in template.outputs.items() if "Secret" in json.dumps(value)}
        assert told == {
            f"{name}Arn": {"Ref": name} for name in ("JwtSecret", "ValkeySecret") if name in template.resources
        }
    assert [name for name in raw()["Parameters"] if "Secret" in name or "Password" in name] == ["OidcClientSecretArn"]
    pattern = re.compile(raw()["Parameters"]["OidcClientSecretArn"]["AllowedPattern"])
    assert not pattern.fullmatch("the-secret-itself")
    assert pattern.fullmatch(SIGN_IN["OidcClientSecretArn"])


def test_secrets_are_resolved_only_where_aws_takes_no_reference() -> None:
    template = Template(**SIGN_IN)
    client = "{{resolve:secretsmanager:${OidcClientSecretArn}:SecretString}}"
    for actions in (template["HttpsListener"]["DefaultActions"], template["SignInRule"]["Actions"]):
        assert actions[0]["AuthenticateOidcConfig"]["ClientSecret"] == {"Fn::Sub": client}
    assert "${ValkeySecret}" in VALKEY["Valkey"]["AuthToken"]["Fn::Sub"]
    assert PATH.read_text().count("{{resolve:") == 3


def test_the_container_gets_secrets_by_reference() -> None:
    def given(template: Template) -> dict[str, Any]:
        return {secret["Name"]: secret["ValueFrom"]["Ref"] for secret in template.container["Secrets"]}

    assert given(VALKEY) == {"SSE_JWT_SECRET": "JwtSecret", "SSE_BROKER_PASSWORD": "ValkeySecret"}
    assert given(MEMORY) == {"SSE_JWT_SECRET": "JwtSecret"}
    assert given(Template(OwnTokens="no")) == {"SSE_BROKER_PASSWORD": "ValkeySecret"}


@pytest.mark.parametrize("broker", ["valkey", "memory"])
@pytest.mark.parametrize("own_tokens", ["yes", "no"])
def test_a_role_may_read_the_secrets_that_there_are(broker: str, own_tokens: str) -> None:
    template = Template(Broker=broker, OwnTokens=own_tokens)

    def readable(role: str) -> list[Any]:
        found = [s for s in statements(template[role]) if s["Action"] == "secretsmanager:GetSecretValue"]
        return [statement["Resource"]["Ref"] for statement in found]

    signing = ["JwtSecret"] if own_tokens == "yes" else []
    made = signing + (["ValkeySecret"] if broker == "valkey" else [])
    assert readable("ExecutionRole") == list(template.of_type("AWS::SecretsManager::Secret")) == made
    assert readable("BackendPolicy") == signing
    assert ("JwtSecretArn" in template.outputs) == bool(signing)


def test_the_task_role_has_only_the_permissions_that_it_needs() -> None:
    allowed: dict[str, list[Any]] = {}
    for statement in statements(VALKEY["TaskRole"]["Policies"]):
        for action in listed(statement["Action"]):
            allowed.setdefault(action, []).extend(listed(statement["Resource"]))
    queue, dead = {"Fn::GetAtt": ["Queue", "Arn"]}, {"Fn::GetAtt": ["DeadLetters", "Arn"]}
    topic, key = {"Ref": "Topic"}, {"Fn::GetAtt": ["Key", "Arn"]}
    assert allowed == {
        "sqs:ReceiveMessage": [queue],
        "sqs:DeleteMessage": [queue],
        "sqs:ChangeMessageVisibility": [queue],
        "sqs:GetQueueAttributes": [queue, dead],
        "sqs:GetQueueUrl": [dead],
        "sns:Publish": [topic],
        "sns:GetTopicAttributes": [topic],
        "sns:ListSubscriptionsByTopic": [topic],
        "sns:GetSubscriptionAttributes": ["*"],
        "kms:Decrypt": [key],
        "kms:GenerateDataKey": [key],
        "kms:DescribeKey": [key],
        "kms:GetKeyPolicy": [key],
    }


def test_a_wildcard_resource_is_used_only_if_aws_has_no_other() -> None:
    for template in ALL:
        for name, resource in template.resources.items():
            for statement in statements(resource):
                actions = listed(statement["Action"])
                # In a key's own policy "*" means that key.
                assert name == "Key" or not [action for action in actions if "*" in action]
                if name != "Key" and "*" in listed(statement.get("Resource", [])):
                    assert actions in (["ecr:GetAuthorizationToken"], ["sns:GetSubscriptionAttributes"])
                assert statement.get("Principal") != "*"
    assert not [resource for resource in VALKEY.resources.values() if "ManagedPolicyArns" in str(resource)]


def test_only_the_settings_file_may_be_read_from_s3() -> None:
    template = Template(SettingsFile="arn:aws:s3:::bucket/folder/push.env")
    [read] = [s for s in statements(template["ExecutionRole"]) if s["Action"] == "s3:GetObject"]
    assert read["Resource"] == "arn:aws:s3:::bucket/folder/push.env"
    assert template.container["EnvironmentFiles"] == [{"Type": "s3", "Value": "arn:aws:s3:::bucket/folder/push.env"}]
    assert "EnvironmentFiles" not in VALKEY.container
