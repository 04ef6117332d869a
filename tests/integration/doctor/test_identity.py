"""What `doctor` says of identity providers, the load balancer and authorizers."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sse_service.auth.alb import keys as alb_keys
from tests.integration.doctor.deployment import Deployment, Output, fails_alone
from tests.integration.fixed_answers import Answer, FixedProvider, provider, site
from tests.integration.test_cli import command
from tests.ports import free_port

ALB = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/push/0123456789abcdef"


@pytest.fixture(scope="module")
def openid() -> Iterator[FixedProvider]:
    with provider() as made:
        yield made


def test_a_provider_is_asked_for_its_keys(openid: FixedProvider, doctor: Callable[..., Output]) -> None:
    said = doctor(SSE_JWT_SECRET=None, **openid.environment)
    assert said.status == 0, said.text
    assert said.at("ok")["provider"] == f"{openid.issuer}: 1 usable key (1 for RS256); audience push"
    assert "publish an event to your own user" in said.at("skip")["canary"]


def test_a_mistake_in_a_provider_fails_its_check_alone(openid: FixedProvider, doctor: Callable[..., Output]) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    for issuer, words in (
        (f"{openid.issuer}/", ("no discovery document", "slash", "to the letter")),
        (f"{openid.issuer}/tenant", ("no discovery document", "404")),
        (away, ("cannot be reached", "NAT gateway")),
    ):
        env = {**openid.environment, "SSE_OIDC_ISSUERS": issuer, "SSE_JWT_SECRET": None}
        fails_alone(doctor(**env), "provider", *words, skipped=("canary",))
    env = {**openid.environment, "SSE_JWT_ALGORITHMS": "ES256", "SSE_JWT_SECRET": None}
    fails_alone(doctor(**env), "provider", "no key that can be used with ES256", skipped=("canary",))


def test_each_provider_has_its_own_line(openid: FixedProvider, doctor: Callable[..., Output]) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    said = doctor(SSE_JWT_SECRET=None, SSE_OIDC_ISSUERS=f"{away},{openid.issuer}", SSE_JWT_AUDIENCE="push")
    assert away in said.at("FAIL")["provider"]
    assert openid.issuer in said.at("ok")["provider"]


def test_keys_without_discovery_are_checked(openid: FixedProvider, doctor: Callable[..., Output]) -> None:
    env = {"SSE_JWT_SECRET": None, "SSE_JWT_ISSUER": "https://a.example", "SSE_JWT_AUDIENCE": "push"}
    said = doctor(**env, SSE_JWKS_URL=f"{openid.issuer}/keys")
    assert said.at("ok")["provider"].startswith("https://a.example: 1 usable key")
    said = doctor(**env, SSE_JWKS_URL=f"{openid.issuer}/nothing")
    assert f"get {openid.issuer}/nothing from here" in said.at("FAIL")["provider"]
    said = doctor(**env, SSE_JWKS_URL=f"{openid.issuer}/nothing?key=a-secret-key")
    assert f"get {openid.issuer}/nothing from here" in said.at("FAIL")["provider"]
    assert "a-secret-key" not in said.text


def test_the_clock_of_a_provider_is_compared(doctor: Callable[..., Output]) -> None:
    with provider() as made:
        made.site.answers = {path: replace(each, ahead=-90) for path, each in made.site.answers.items()}
        said = doctor(SSE_JWT_SECRET=None, **made.environment)
    assert said.status == 0
    assert "ahead of the provider's" in said.at("warn")["provider"]


def test_any_answer_of_the_load_balancers_keys_is_ok(
    doctor: Callable[..., Output], monkeypatch: pytest.MonkeyPatch
) -> None:
    with site() as keys:
        monkeypatch.setattr(alb_keys, "keys_url", lambda _: f"{keys.url}/")
        said = doctor(SSE_JWT_SECRET=None, SSE_ALB_ARN=ALB)
        assert said.status == 0, said.text
        assert f"{keys.url}/, answers" in said.at("ok")["alb"]
        assert len(keys.asked) == 1
    fails_alone(doctor(SSE_JWT_SECRET=None, SSE_ALB_ARN=ALB), "alb", "does not answer", "NAT", skipped=("canary",))
    said = doctor(SSE_JWT_SECRET=None, SSE_ALB_ARN=ALB, AWS_DEFAULT_REGION="us-east-2")
    assert "in us-east-1, the task in us-east-2" in said.at("warn")["alb"]


@pytest.mark.parametrize(
    ("answer", "level", "words"),
    [
        (Answer(status=401), "ok", ("answers 401",)),
        (Answer(status=403), "warn", ("answers 403", "let it answer 401")),
        (Answer({"user": "42", "expires_in": 60}), "FAIL", ("lets everybody in", "the user 42")),
        (Answer({"user": None, "expires_in": 60}), "FAIL", ("named no user", "must answer 401")),
        (Answer("<h1>Sign in</h1>"), "FAIL", ("without JSON", "must answer 401")),
        (Answer(status=302, headers={"Location": "/login"}), "FAIL", ("answered 302", "must answer 401")),
        (Answer(status=404), "FAIL", ("answered 404", "SSE_AUTHORIZER_URL")),
        (Answer(status=500), "FAIL", ("answered 500", "log")),
    ],
)
def test_an_authorizer_must_refuse_a_request_without_credentials(
    doctor: Callable[..., Output], answer: Answer, level: str, words: tuple[str, ...]
) -> None:
    with site() as backend:
        backend.answers["/who"] = answer
        said = doctor(SSE_JWT_SECRET=None, SSE_AUTHORIZER_URL=f"{backend.url}/who")
        for word in words:
            assert word in said.at(level)["authorizer"]
        assert said.status == (1 if level == "FAIL" else 0), said.text
        [(path, headers)] = backend.asked
    assert path == "/who"
    assert not {"cookie", "authorization"} & set(headers)


def test_an_authorizer_that_does_not_answer_fails(doctor: Callable[..., Output]) -> None:
    said = doctor(SSE_JWT_SECRET=None, SSE_AUTHORIZER_URL=f"http://127.0.0.1:{free_port()}/who")
    assert "cannot be reached" in said.at("FAIL")["authorizer"]
    assert "security groups" in said.at("FAIL")["authorizer"]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        said = doctor(SSE_JWT_SECRET=None, SSE_AUTHORIZER_URL=f"http://127.0.0.1:{silent.getsockname()[1]}/who")
    assert "did not answer within 2 s" in said.at("FAIL")["authorizer"]


@pytest.mark.parametrize(
    ("code", "level", "word"),
    [
        ("async def who(connection): ...", "ok", "is a coroutine function"),
        ("def who(connection): ...", "FAIL", "must be a coroutine function"),
        ("async def who(): ...", "FAIL", "must take one argument"),
        ("1 / 0", "FAIL", "ZeroDivisionError"),
        ("", "FAIL", "cannot import"),
    ],
)
def test_code_of_ones_own_must_be_importable(
    sound: Deployment, tmp_path: Path, code: str, level: str, word: str
) -> None:
    (tmp_path / "own_code.py").write_text(code)
    env = {**sound.environment, "SSE_JWT_SECRET": "", "SSE_AUTHORIZER": "own_code:who", "PYTHONPATH": str(tmp_path)}
    ended = command("doctor", "--url", sound.url, **env)
    assert word in Output(ended.returncode, ended.stdout).at(level)["authorizer"]
    assert "Traceback" not in ended.stderr
