"""The CloudFormation template, evaluated for given parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cfnlint.decode import cfn_yaml

ROOT = Path(__file__).parents[2]
PATH = ROOT / "deploy" / "cloudformation.yaml"

GIVEN = {
    "Image": "registry.example.com/sse-service:1",
    "Vpc": "vpc-1",
    "Subnets": "subnet-1,subnet-2",
    "Certificate": "arn:aws:acm:us-east-1:123456789012:certificate/1",
}
"""The parameters without a default."""

_NOTHING = object()


@cache
def raw() -> dict[str, Any]:
    """Return the template, with short forms such as ``!Ref`` expanded."""
    loaded: dict[str, Any] = cfn_yaml.load(str(PATH))
    return loaded


class Template:
    """Evaluates conditions, parameters and mappings. References to resources are kept."""

    def __init__(self, **parameters: str) -> None:
        declared = raw()["Parameters"]
        assert set(parameters) <= set(declared)
        defaults = {name: str(value["Default"]) for name, value in declared.items() if "Default" in value}
        self.parameters = {**defaults, **GIVEN, **parameters}
        self.resources: dict[str, dict[str, Any]] = {
            name: self._decide(resource)
            for name, resource in raw()["Resources"].items()
            if "Condition" not in resource or self._holds(resource["Condition"])
        }
        self.outputs: dict[str, dict[str, Any]] = {
            name: self._decide(output)
            for name, output in raw()["Outputs"].items()
            if "Condition" not in output or self._holds(output["Condition"])
        }

    def __getitem__(self, name: str) -> Any:
        """A resource's properties."""
        return self.resources[name].get("Properties", {})

    def of_type(self, kind: str) -> dict[str, Any]:
        """The properties of all resources of that type."""
        return {name: self[name] for name, resource in self.resources.items() if resource["Type"] == kind}

    @property
    def refusals(self) -> list[str]:
        """The rules that these parameters violate."""
        return [
            assertion["AssertDescription"]
            for rule in raw()["Rules"].values()
            if self._decide(rule["RuleCondition"])
            for assertion in rule["Assertions"]
            if not self._decide(assertion["Assert"])
        ]

    @property
    def container(self) -> Any:
        [container] = self["TaskDefinition"]["ContainerDefinitions"]
        return container

    @property
    def environment(self) -> dict[str, Any]:
        return {variable["Name"]: variable["Value"] for variable in self.container["Environment"]}

    def set_environment(self, monkeypatch: pytest.MonkeyPatch, real: Mapping[str, str]) -> None:
        """Set the task's variables. ``real`` has the values of those that refer to resources."""
        for name, value in self.environment.items():
            if name.startswith("SSE_"):
                monkeypatch.setenv(name, value if isinstance(value, str) else real[name])
        for secret in self.container["Secrets"]:
            monkeypatch.setenv(secret["Name"], "s" * 64)

    def attributes(self, name: str) -> dict[str, str]:
        """A load balancer's or target group's attributes."""
        key = "LoadBalancerAttributes" if name == "LoadBalancer" else "TargetGroupAttributes"
        return {attribute["Key"]: attribute["Value"] for attribute in self[name][key]}

    def _holds(self, name: str) -> bool:
        return bool(self._decide(raw()["Conditions"][name]))

    def _decide(self, value: Any) -> Any:
        if isinstance(value, list):
            return [item for item in map(self._decide, value) if item is not _NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            [(key, argument)] = value.items()
            if key == "Ref" and argument == "AWS::NoValue":
                return _NOTHING
            if key == "Ref" and argument in self.parameters:
                kind = raw()["Parameters"][argument]["Type"]
                text = self.parameters[argument]
                return text.split(",") if kind.startswith(("List", "CommaDelimitedList")) else text
            if key in _FUNCTIONS:
                return _FUNCTIONS[key](self, argument)
        decided = {name: self._decide(item) for name, item in value.items()}
        return {name: item for name, item in decided.items() if item is not _NOTHING}

    def _if(self, argument: Any) -> Any:
        name, yes, no = argument
        return self._decide(yes if self._holds(name) else no)

    def _find(self, argument: Any) -> Any:
        found: Any = raw()["Mappings"]
        for key in argument:
            found = found[self._decide(key)]
        return found

    def _join(self, argument: Any) -> Any:
        with_what, parts = argument[0], self._decide(argument[1])
        texts = all(isinstance(part, str) for part in parts)
        return with_what.join(parts) if texts else {"Fn::Join": [with_what, parts]}


_FUNCTIONS: dict[str, Callable[[Template, Any], Any]] = {
    "Fn::If": Template._if,
    "Fn::FindInMap": Template._find,
    "Fn::Join": Template._join,
    "Fn::Equals": lambda self, argument: self._decide(argument[0]) == self._decide(argument[1]),
    "Fn::Not": lambda self, argument: not self._decide(argument[0]),
    "Fn::And": lambda self, argument: all(self._decide(item) for item in argument),
    "Fn::Or": lambda self, argument: any(self._decide(item) for item in argument),
    "Condition": lambda self, argument: self._holds(argument) if isinstance(argument, str) else argument,
}


def statements(value: Any) -> Iterator[dict[str, Any]]:
    """Yield all policy statements in a value."""
    if isinstance(value, list):
        for item in value:
            yield from statements(item)
    elif isinstance(value, dict):
        if "Effect" in value:
            yield value
        for item in value.values():
            yield from statements(item)


def listed(value: Any) -> list[Any]:
    """Return a list for a value that may be a list or a single item."""
    return value if isinstance(value, list) else [value]


SIGN_IN = {
    "OidcIssuer": "https://login.example.com",
    "OidcAuthorizationEndpoint": "https://login.example.com/authorize",
    "OidcTokenEndpoint": "https://login.example.com/token",
    "OidcUserInfoEndpoint": "https://login.example.com/userinfo",
    "OidcClientId": "push",
    "OidcClientSecretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:client-AbCdEf",
    "SignInReturn": "app.example.com",
}
"""The load balancer signs users in."""

PROVIDER = {"OidcIssuers": "https://login.example.com", "JwtAudience": "push"}
"""Tokens of an OpenID provider are accepted."""

VALKEY, MEMORY = Template(), Template(Broker="memory")
ALL = (
    VALKEY,
    MEMORY,
    Template(SettingsFile="arn:aws:s3:::bucket/push.env", AllowS3="yes", AllowEventBridge="yes"),
    Template(**SIGN_IN),
    Template(**SIGN_IN, OwnTokens="no", Broker="memory"),
    Template(**PROVIDER, OwnTokens="no"),
)
