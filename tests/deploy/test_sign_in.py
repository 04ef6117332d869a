"""The template's parameters that say who the user is: tokens, a provider, the load balancer, one's own back end."""

import re
from typing import Any

import pytest

from sse_service.settings.identity import WAYS
from sse_service.settings.settings import Settings
from tests.deploy.template import PROVIDER, SIGN_IN, VALKEY, Template, raw

REFUSED_PROVIDER = "OidcIssuers and JwksUrl need JwtAudience."
REFUSED_SIGN_IN = "OidcIssuer needs its three endpoints, OidcClientId and OidcClientSecretArn."


def test_each_way_to_authenticate_sets_its_own_variables() -> None:
    def added(**parameters: str) -> dict[str, Any]:
        given = Template(**parameters)
        assert not given.refusals
        return {name: value for name, value in given.environment.items() if name not in VALKEY.environment}

    assert added(**PROVIDER, GroupsClaim="cognito:groups") == {
        "SSE_OIDC_ISSUERS": "https://login.example.com",
        "SSE_JWT_AUDIENCE": "push",
        "SSE_GROUPS_CLAIM": "cognito:groups",
    }
    assert added(
        JwksUrl="https://login.example.com/keys", JwtIssuer="https://login.example.com", JwtAudience="a,b"
    ) == {
        "SSE_JWKS_URL": "https://login.example.com/keys",
        "SSE_JWT_ISSUER": "https://login.example.com",
        "SSE_JWT_AUDIENCE": "a,b",
    }
    assert added(AuthorizerUrl="https://app.example.com/push/user") == {
        "SSE_AUTHORIZER_URL": "https://app.example.com/push/user"
    }
    assert added(**SIGN_IN) == {"SSE_ALB_ARN": {"Ref": "LoadBalancer"}}


@pytest.mark.parametrize("own_tokens", ["yes", "no"])
@pytest.mark.parametrize(
    "parameters",
    [
        PROVIDER,
        {**PROVIDER, **SIGN_IN},
        SIGN_IN,
        {"AuthorizerUrl": "https://app.example.com/push/user", **SIGN_IN, **PROVIDER},
        {"JwksUrl": "https://login.example.com/keys", "JwtIssuer": "https://login.example.com", "JwtAudience": "push"},
    ],
)
def test_the_service_accepts_the_settings_of_every_combination(
    monkeypatch: pytest.MonkeyPatch, own_tokens: str, parameters: dict[str, str]
) -> None:
    template = Template(**parameters, OwnTokens=own_tokens, Broker="memory")
    assert not template.refusals
    real = {
        "SSE_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/events",
        "SSE_TOPIC_ARN": "arn:aws:sns:us-east-1:123456789012:events",
        "SSE_ALB_ARN": "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/push/0123456789abcdef",
        "SSE_EMF_NAMESPACE": "sse-service/push",
    }
    template.set_environment(monkeypatch, real)
    settings = Settings()
    settings.check_for_serving()
    ways = {name for name in WAYS if getattr(settings, name)}
    assert ("jwt_secret" in ways) == (own_tokens == "yes")
    assert len(ways) >= 1


def test_parameters_that_need_others_are_refused_without_them() -> None:
    keys = {"JwksUrl": "https://login.example.com/keys"}
    assert Template(OidcIssuers="https://login.example.com").refusals == [REFUSED_PROVIDER]
    assert Template(**keys).refusals == [REFUSED_PROVIDER, "JwksUrl needs JwtIssuer."]
    assert Template(**keys, JwtAudience="push").refusals == ["JwksUrl needs JwtIssuer."]
    for name in SIGN_IN:
        refused = [] if name in ("OidcIssuer", "SignInReturn") else [REFUSED_SIGN_IN]
        assert Template(**{key: value for key, value in SIGN_IN.items() if key != name}).refusals == refused


def test_requests_without_a_session_reach_the_service_which_answers_them() -> None:
    # A page's EventSource cannot follow a redirect to the provider, and a CORS preflight has no cookie.
    sign_in, forward = Template(**SIGN_IN)["HttpsListener"]["DefaultActions"]
    assert (sign_in["Type"], sign_in["Order"]) == ("authenticate-oidc", 1)
    assert sign_in["AuthenticateOidcConfig"]["OnUnauthenticatedRequest"] == "allow"
    assert (forward["Type"], forward["Order"]) == ("forward", 2)
    assert VALKEY["HttpsListener"]["DefaultActions"] == [{"Type": "forward", "TargetGroupArn": {"Ref": "TargetGroup"}}]


def test_sign_in_leads_to_the_provider_and_back_to_the_page() -> None:
    template = Template(**SIGN_IN)
    rule, [default, _] = template["SignInRule"], template["HttpsListener"]["DefaultActions"]
    assert rule["Conditions"] == [{"Field": "path-pattern", "PathPatternConfig": {"Values": ["/sign-in"]}}]
    sign_in, back = rule["Actions"]
    unauthenticated = {"OnUnauthenticatedRequest": "authenticate"}
    # The session's cookie is good for all paths only if both actions are of the same client.
    assert sign_in["AuthenticateOidcConfig"] == default["AuthenticateOidcConfig"] | unauthenticated
    assert back["RedirectConfig"] == {
        "Protocol": "HTTPS",
        "Host": "app.example.com",
        "Port": "443",
        "Path": "/",
        "StatusCode": "HTTP_302",
    }
    assert "SignInRule" not in VALKEY.resources
    pattern = re.compile(raw()["Parameters"]["SignInReturn"]["AllowedPattern"])
    assert all(map(pattern.fullmatch, ("#{host}", "app.example.com")))
    assert not any(map(pattern.fullmatch, ("evil.example/x", "#{query}", "a#{query}", "")))


def test_the_load_balancer_reaches_its_provider_and_nothing_else() -> None:
    def reached(template: Template) -> list[tuple[int, int, str]]:
        rules = template["LoadBalancerGroup"]["SecurityGroupEgress"]
        return [(rule["FromPort"], rule["ToPort"], rule["CidrIp"]) for rule in rules]

    assert reached(Template(**SIGN_IN)) == [(443, 443, "0.0.0.0/0")]
    assert reached(VALKEY) == [(443, 443, "127.0.0.1/32")]
    [https] = VALKEY["TaskGroup"]["SecurityGroupEgress"]
    assert (https["FromPort"], https["ToPort"], https["CidrIp"]) == (443, 443, "0.0.0.0/0")
