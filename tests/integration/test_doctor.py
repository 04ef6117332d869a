"""`doctor` on a sound deployment, and on the same deployment with one thing broken at a time."""

from __future__ import annotations

import asyncio
import http.server
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from email.utils import formatdate
from pathlib import Path
from time import time
from typing import Any

import boto3
import pytest
from pydantic import SecretStr

from sse_service import cli
from sse_service.auth.alb import keys as alb_keys
from sse_service.dev.moto_server import MotoServer
from sse_service.doctor.canary import check_canary, new_canary
from sse_service.doctor.report import Finding, Level
from sse_service.doctor.run import run_checks
from sse_service.doctor.store import check_store
from sse_service.settings.settings import Settings
from tests.integration.chain import AWS, SECRET
from tests.integration.fixed_answers import Answer, FixedProvider, provider, site
from tests.integration.process import Process
from tests.integration.test_cli import command
from tests.integration.tls import certificates, tls_proxy
from tests.integration.until import until
from tests.integration.valkey import Valkey, free_port

OTHER = "another-secret-of-the-tests-long-enough-for-HS256"
ALB = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/push/0123456789abcdef"
SOUND = (
    *("settings", "region", "credentials", "clock", "queue", "redrive", "timeouts", "topic"),
    *("subscription", "policy", "key", "store", "descriptors", "canary"),
)


@dataclass(frozen=True)
class Deployment:
    """A topic, a queue that is subscribed to it, and a service that reads it."""

    aws: str
    url: str
    topic: str
    queue: str
    queue_arn: str
    subscription: str

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.aws,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    @property
    def environment(self) -> dict[str, str]:
        return {
            **AWS,
            "AWS_ENDPOINT_URL": self.aws,
            "SSE_QUEUE_URL": self.queue,
            "SSE_TOPIC_ARN": self.topic,
            "SSE_JWT_SECRET": SECRET,
            "SSE_SINGLE_TASK": "true",
        }

    @contextmanager
    def queue_with(self, **attributes: str) -> Iterator[None]:
        """Change the queue's attributes until the block ends."""
        sqs = self.client("sqs")
        before = sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["All"])["Attributes"]
        # moto drops the policy if it is not among the attributes that are set.
        attributes = {"Policy": before["Policy"], **attributes}
        sqs.set_queue_attributes(QueueUrl=self.queue, Attributes=attributes)
        try:
            yield
        finally:
            back = {name: before.get(name, "") for name in attributes}
            sqs.set_queue_attributes(QueueUrl=self.queue, Attributes=back)

    @contextmanager
    def subscription_with(self, name: str, value: str, sound: str) -> Iterator[None]:
        sns = self.client("sns")
        sns.set_subscription_attributes(SubscriptionArn=self.subscription, AttributeName=name, AttributeValue=value)
        try:
            yield
        finally:
            sns.set_subscription_attributes(SubscriptionArn=self.subscription, AttributeName=name, AttributeValue=sound)


def policy(topic: str, queue_arn: str) -> str:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture(scope="module")
def sound() -> Iterator[Deployment]:
    server = MotoServer()
    try:
        made = Deployment(aws=server.url, url="", topic="", queue="", queue_arn="", subscription="")
        sqs, sns = made.client("sqs"), made.client("sns")
        sqs.create_queue(QueueName="dead")
        topic = sns.create_topic(Name="events")["TopicArn"]
        arn = topic.replace(":sns:", ":sqs:")
        dead = {"deadLetterTargetArn": arn.replace(":events", ":dead"), "maxReceiveCount": 5}
        attributes = {"RedrivePolicy": json.dumps(dead), "Policy": policy(topic, arn)}
        queue = sqs.create_queue(QueueName="events", Attributes=attributes)["QueueUrl"]
        subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)["SubscriptionArn"]
        env = {**Deployment(server.url, "", topic, queue, arn, subscription).environment, "SSE_ADMIN_PORT": "0"}
        env |= {"SSE_DRAIN_SECONDS": "0"}
        with Process("sse_service", "serve", "--port", "0", env=env) as process:
            url = process.wait_for(r"listening on (http://[^\s,]+)")[1]
            yield Deployment(server.url, url, topic, queue, arn, subscription)
    finally:
        server.stop()


@dataclass(frozen=True)
class Output:
    """The exit status and the output of the command."""

    status: int
    text: str

    def at(self, level: str) -> dict[str, str]:
        lines = [line.split(maxsplit=2) for line in self.text.splitlines()]
        return {check: text for found, check, text in lines if found == level}


@pytest.fixture
def doctor(
    sound: Deployment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Output]:
    """Run the command with changed variables. It runs in this process, which is faster than a new one."""

    def run(*arguments: str, **changed: str | None) -> Output:
        for name in [name for name in os.environ if name.startswith(("SSE_", "AWS_"))]:
            monkeypatch.delenv(name)
        for name, value in {**sound.environment, **changed}.items():
            if value is not None:
                monkeypatch.setenv(name, value)
        status = cli.main(["doctor", *(arguments or ("--url", sound.url))])
        text = capsys.readouterr().out
        assert SECRET not in text
        assert OTHER not in text
        assert "eyJ" not in text
        return Output(status, text)

    return run


def test_every_check_of_a_sound_deployment_is_ok(sound: Deployment) -> None:
    ended = command("doctor", "--url", sound.url, **sound.environment)
    assert ended.stderr == ""
    assert tuple(Output(0, ended.stdout).at("ok")) == SOUND, ended.stdout
    assert ended.returncode == 0
    assert "received after" in ended.stdout


def test_an_invalid_setting_exits_with_2(sound: Deployment) -> None:
    ended = command("doctor", **{**sound.environment, "SSE_MAX_STREAMS": "many"})
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "SSE_MAX_STREAMS" in ended.stderr


def fails_alone(said: Output, check: str, *words: str, skipped: tuple[str, ...] = ()) -> None:
    """Check that only this check fails, with these words. All others are ok or, if they depend on it, skipped."""
    assert said.status == 1, said.text
    assert set(said.at("FAIL")) == {check}, said.text
    assert set(said.at("skip")) == set(skipped), said.text
    for word in words:
        assert word in said.at("FAIL")[check]


@pytest.mark.parametrize(
    ("changed", "check", "words", "skipped"),
    [
        ({"WEB_CONCURRENCY": "2"}, "settings", ("WEB_CONCURRENCY",), ()),
        (
            {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None, "AWS_EC2_METADATA_DISABLED": "true"},
            "credentials",
            ("there are none", "taskRoleArn"),
            ("clock", "queue", "redrive", "timeouts", "topic", "subscription", "policy", "key", "canary"),
        ),
        ({"SSE_TOPIC_ARN": None}, "topic", ("SSE_TOPIC_ARN is not set",), ("subscription", "policy", "canary")),
        (
            {"SSE_TOPIC_ARN": "arn:aws:sns:us-east-1:123456789012:nothing"},
            "topic",
            ("does not exist",),
            ("subscription", "policy", "canary"),
        ),
        (
            {"AWS_ENDPOINT_URL_SNS": "notaurl"},
            "topic",
            ("AWS_ENDPOINT_URL_SNS", "ValueError"),
            ("subscription", "policy", "canary"),
        ),
        ({"AWS_ENDPOINT_URL_STS": "http://["}, "credentials", ("AWS_ENDPOINT_URL_STS", "https://"), ()),
        (
            {
                "AWS_ACCESS_KEY_ID": None,
                "AWS_SECRET_ACCESS_KEY": None,
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://evil.example/x",
            },
            "credentials",
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "ValueError"),
            ("clock", "queue", "redrive", "timeouts", "topic", "subscription", "policy", "key", "canary"),
        ),
        ({"SSE_DEDUPE_SECONDS": "149"}, "timeouts", ("150 s", "SSE_DEDUPE_SECONDS 149", "raise"), ()),
        ({"SSE_MAX_STREAMS": "9000000"}, "descriptors", ("nofile", "SSE_MAX_STREAMS="), ()),
        ({"SSE_JWT_SECRET": OTHER}, "canary", ("401", "SSE_JWT_SECRET"), ()),
    ],
)
def test_a_mistake_in_the_environment_fails_its_check_alone(
    doctor: Callable[..., Output],
    changed: dict[str, str | None],
    check: str,
    words: tuple[str, ...],
    skipped: tuple[str, ...],
) -> None:
    fails_alone(doctor(**changed), check, *words, skipped=skipped)


def test_a_missing_region_fails_and_skips_all_calls(doctor: Callable[..., Output]) -> None:
    said = doctor(AWS_DEFAULT_REGION=None)
    assert said.status == 1
    assert "set AWS_REGION" in said.at("FAIL")["region"]
    assert "credentials" in said.at("skip")


def test_a_queue_that_does_not_exist_fails(sound: Deployment, doctor: Callable[..., Output]) -> None:
    said = doctor(SSE_QUEUE_URL=f"{sound.aws}/123456789012/nothing")
    skipped = ("redrive", "timeouts", "subscription", "policy", "key", "canary")
    fails_alone(said, "queue", "NonExistentQueue", "check SSE_QUEUE_URL", skipped=skipped)


def test_an_invalid_endpoint_fails_and_is_not_printed(doctor: Callable[..., Output]) -> None:
    said = doctor(AWS_ENDPOINT_URL="notaurl")
    assert said.status == 1
    failed = said.at("FAIL")
    assert set(failed) == {"settings", "credentials", "queue", "topic"}
    assert all("AWS_ENDPOINT_URL" in text and "notaurl" not in text for text in failed.values())


def test_credentials_with_a_stray_byte_fail(doctor: Callable[..., Output]) -> None:
    said = doctor(AWS_SECRET_ACCESS_KEY="\udcff")
    assert "AWS_SECRET_ACCESS_KEY" in said.at("FAIL")["credentials"]


def test_an_invalid_url_exits_with_2(sound: Deployment) -> None:
    for url in ("http://exa mple:80", "http://127.0.0.1/ü", "http://ex..ample"):
        ended = command("doctor", "--url", url, **sound.environment)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert "Traceback" not in ended.stderr


def test_a_queue_in_another_region_fails(doctor: Callable[..., Output]) -> None:
    said = doctor(SSE_QUEUE_URL="https://sqs.eu-west-1.amazonaws.com/123456789012/events")
    assert "eu-west-1" in said.at("FAIL")["queue"]


@pytest.mark.parametrize(
    ("attributes", "check", "words"),
    [
        ({"RedrivePolicy": ""}, "redrive", ("no dead-letter queue", "maxReceiveCount 5")),
        ({"Policy": ""}, "policy", ("no policy", "aws:SourceArn")),
        ({"KmsMasterKeyId": "alias/aws/sqs"}, "key", ("alias/aws/sqs", "SSE-SQS")),
    ],
)
def test_a_mistake_in_the_queue_fails_its_check_alone(
    sound: Deployment, doctor: Callable[..., Output], attributes: dict[str, str], check: str, words: tuple[str, ...]
) -> None:
    with sound.queue_with(**attributes):
        fails_alone(doctor(), check, *words)


def test_a_customer_key_must_let_sns_use_it(sound: Deployment, doctor: Callable[..., Output]) -> None:
    kms = sound.client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    with sound.queue_with(KmsMasterKeyId=key):
        fails_alone(doctor(), "key", "kms:GenerateDataKey, kms:Decrypt")
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": ["kms:GenerateDataKey*", "kms:Decrypt"],
            "Resource": "*",
        }
        text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        kms.put_key_policy(KeyId=key, PolicyName="default", Policy=text)
        named = {**statement, "Condition": {"ArnEquals": {"aws:SourceArn": sound.topic}}}
        named_text = json.dumps({"Version": "2012-10-17", "Statement": [named]})
        kms.put_key_policy(KeyId=key, PolicyName="default", Policy=named_text)
        said = doctor(SSE_TOPIC_ARN=f"{sound.topic}-not")
        fails_alone(said, "topic", "does not exist", skipped=("subscription", "policy", "key", "canary"))
        kms.put_key_policy(KeyId=key, PolicyName="default", Policy=text)
        assert "SNS may use it" in doctor("--url", "http://127.0.0.1:1").at("ok")["key"]
        kms.disable_key(KeyId=key)
        assert "Disabled" in doctor("--url", "http://127.0.0.1:1").at("FAIL")["key"]


def test_dead_letters_and_raw_delivery_are_warnings(sound: Deployment, doctor: Callable[..., Output]) -> None:
    sqs = sound.client("sqs")
    dead = sqs.get_queue_url(QueueName="dead")["QueueUrl"]
    sqs.send_message(QueueUrl=dead, MessageBody="x")
    with sound.subscription_with("RawMessageDelivery", "true", "false"):
        said = doctor()
    sqs.purge_queue(QueueUrl=dead)
    assert said.status == 0, said.text
    assert set(said.at("warn")) == {"redrive", "subscription"}
    assert "holds 1 messages" in said.at("warn")["redrive"]


def test_a_missing_subscription_fails(sound: Deployment, doctor: Callable[..., Output]) -> None:
    topic = sound.client("sns").create_topic(Name="lonely")["TopicArn"]
    with sound.queue_with(Policy=policy(topic, sound.queue_arn)):
        fails_alone(doctor(SSE_TOPIC_ARN=topic), "subscription", "not subscribed", skipped=("canary",))


def test_a_subscription_is_found_behind_a_hundred_others(sound: Deployment, doctor: Callable[..., Output]) -> None:
    sns = sound.client("sns")
    topic = sns.create_topic(Name="busy")["TopicArn"]
    for number in range(100):
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=f"{sound.queue_arn}-{number}")
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=sound.queue_arn)
    said = doctor("--url", "http://127.0.0.1:1", SSE_TOPIC_ARN=topic)
    assert "confirmed" in said.at("ok")["subscription"]


def test_no_canary_is_sent_with_a_routing_override_or_without_a_secret(doctor: Callable[..., Output]) -> None:
    said = doctor(SSE_ROUTE_USER="body.customer")
    assert said.status == 0, said.text
    assert "SSE_ROUTE_USER" in said.at("skip")["canary"]
    fails_alone(doctor(SSE_JWT_SECRET=None), "settings", "SSE_JWT_SECRET", skipped=("canary",))


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


def test_a_refused_publish_fails(sound: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = "arn:aws:sns:us-east-1:123456789012:nothing"
    for name, value in {**sound.environment, "SSE_TOPIC_ARN": nowhere}.items():
        monkeypatch.setenv(name, value)
    found = asyncio.run(check_canary(Settings(), new_canary(), url=sound.url, suspects=()))
    assert found.level is Level.FAIL
    assert "publishing was refused (NotFound" in found.text


def test_a_filter_policy_that_drops_the_canary_fails_or_warns(sound: Deployment, doctor: Callable[..., Output]) -> None:
    with sound.subscription_with("FilterPolicy", '{"user_id": ["7"]}', "{}"):
        fails_alone(doctor(), "subscription", '{"user_id": ["7"]}', skipped=("canary",))
    with sound.subscription_with("FilterPolicy", '{"event_type": ["upload.done"]}', "{}"):
        said = doctor()
    assert said.status == 0
    assert "upload.done" in said.at("warn")["subscription"]
    assert "filter policy drops it" in said.at("skip")["canary"]


def test_a_url_where_the_service_does_not_answer_fails(sound: Deployment, doctor: Callable[..., Output]) -> None:
    fails_alone(doctor("--url", f"http://127.0.0.1:{free_port()}"), "canary", "nothing answers", "start `serve`")
    fails_alone(doctor("--url", sound.aws), "canary", "--url")


def test_a_canary_that_is_not_received_names_the_suspects(sound: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    sns, sqs = sound.client("sns"), sound.client("sqs")
    topic = sns.create_topic(Name="unread")["TopicArn"]
    arn = topic.replace(":sns:", ":sqs:")
    queue = sqs.create_queue(QueueName="unread", Attributes={"Policy": policy(topic, arn)})["QueueUrl"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    for name, value in {**sound.environment, "SSE_TOPIC_ARN": topic, "SSE_QUEUE_URL": queue}.items():
        monkeypatch.setenv(name, value)
    lines: list[str] = []
    run = run_checks(Settings(), url=sound.url, refused=None, write=lines.append, wait_seconds=0.5)
    assert asyncio.run(run) is False
    assert lines[-1].startswith("FAIL  canary")
    assert "not received" in lines[-1]
    assert lines[-1].endswith("see redrive above")


def test_a_valkey_that_is_unreachable_or_evicts_keys_fails(doctor: Callable[..., Output]) -> None:
    away = f"redis://127.0.0.1:{free_port()}/0"
    fails_alone(doctor(SSE_BROKER_URL=away), "store", "does not answer", "security groups")
    with Valkey("--maxmemory-policy", "allkeys-lru") as valkey:
        fails_alone(doctor(SSE_BROKER_URL=valkey.url), "store", "allkeys-lru", "parameter group")


def store_finding(url: str, **settings: Any) -> Finding:
    async def inside() -> Finding:
        before = descriptors()
        [found] = await check_store(Settings(broker_url=SecretStr(url), **settings))
        # The event loop must run until TLS has closed its connection in the background.
        await until(lambda: descriptors() <= before)
        return found

    found = asyncio.run(inside())
    assert "a-password" not in found.line
    return found


def descriptors() -> int:
    return len(os.listdir("/dev/fd"))


def test_a_store_with_too_little_memory_is_told_how_much_it_needs() -> None:
    with Valkey("--maxmemory", "256mb") as valkey:
        found = store_finding(valkey.url)
        assert found.level is Level.OK
        assert "noeviction, round trip" in found.text
        assert "raise it" in store_finding(valkey.url, history_bytes=2**29).fix


def test_problems_of_passwords_and_of_tls_have_different_lines(tmp_path: Path) -> None:
    with Valkey("--maxmemory", "256mb", "--requirepass", "a-password-of-the-tests") as valkey:
        assert store_finding(valkey.url, broker_password=SecretStr("a-password-of-the-tests")).level is Level.OK
        for wrong in (None, SecretStr("a-password-of-another")):
            assert "AUTH" in store_finding(valkey.url, broker_password=wrong).text
        right = f"redis://:a-password-of-the-tests@127.0.0.1:{valkey.port}/0"
        authority, certificate = certificates(tmp_path)
        with tls_proxy(valkey.port, certificate) as port:
            plain = right.replace(str(valkey.port), str(port))
            by_tls = plain.replace("redis:", "rediss:")
            assert "certificate is not trusted" in store_finding(by_tls).text
            assert store_finding(f"{by_tls}?ssl_ca_certs={authority}").level is Level.OK
            assert "needs rediss://" in store_finding(plain).fix
        assert "without TLS" in store_finding(right.replace("redis:", "rediss:")).fix


class _STS(http.server.BaseHTTPRequestHandler):
    """Refuses every call. Its clock may be ahead."""

    code = "InvalidClientTokenId"
    ahead = 0.0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = f"<ErrorResponse><Error><Code>{self.code}</Code><Message>no</Message></Error></ErrorResponse>".encode()
        self.send_response_only(403)
        self.send_header("Date", formatdate(time() + self.ahead, usegmt=True))
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def test_refused_credentials_and_a_wrong_clock_fail(
    doctor: Callable[..., Output], monkeypatch: pytest.MonkeyPatch
) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _STS) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            said = doctor(AWS_ENDPOINT_URL_STS=url)
            assert "InvalidClientTokenId" in said.at("FAIL")["credentials"]
            assert set(said.at("FAIL")) == {"credentials"}
            monkeypatch.setattr(_STS, "code", "SignatureDoesNotMatch")
            monkeypatch.setattr(_STS, "ahead", 3600)
            said = doctor(AWS_ENDPOINT_URL_STS=url)
            assert "behind AWS's" in said.at("FAIL")["clock"]
            assert "3600 s" in said.at("FAIL")["clock"] or "3599 s" in said.at("FAIL")["clock"]
        finally:
            server.shutdown()
            thread.join()


def test_no_answer_of_sts_is_a_warning(doctor: Callable[..., Output]) -> None:
    said = doctor(AWS_ENDPOINT_URL_STS=f"http://127.0.0.1:{free_port()}")
    assert said.status == 0, said.text
    assert set(said.at("warn")) == {"credentials"}
    assert "clock" in said.at("ok")
