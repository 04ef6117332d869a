"""`doctor` on a sound deployment, and on the same deployment with one thing broken at a time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from sse_service.doctor.canary import check_canary, new_canary
from sse_service.doctor.report import Level
from sse_service.doctor.run import run_checks
from sse_service.settings.settings import Settings
from tests.integration.doctor.deployment import OTHER, Deployment, Output, fails_alone, policy
from tests.integration.test_cli import command
from tests.ports import free_port

SOUND = (
    *("settings", "region", "credentials", "clock", "queue", "redrive", "timeouts", "topic"),
    *("subscription", "policy", "key", "store", "descriptors", "canary"),
)


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
