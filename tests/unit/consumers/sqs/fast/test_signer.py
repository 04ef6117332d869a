"""The signer and botocore make the same signature for the same request in the same second."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

from consumers.sqs.fast.signer import Signer

HEADERS = {
    "X-Amz-Target": "AmazonSQS.ReceiveMessage",
    "Content-Type": "application/x-amz-json-1.0",
    "X-Amzn-Query-Mode": "true",
    "User-Agent": "sse-service",
}
BODY = b'{"QueueUrl": "https://sqs.eu-west-1.amazonaws.com/1/q", "MaxNumberOfMessages": 10}'
KEYS = ReadOnlyCredentials("key", "secret", None)
NOON = datetime.datetime(2026, 11, 25, 12, 0, 0, tzinfo=datetime.UTC)


def signed_by_botocore(
    monkeypatch: pytest.MonkeyPatch,
    headers: Mapping[str, str],
    body: bytes,
    url: str,
    credentials: ReadOnlyCredentials,
    now: datetime.datetime,
    region: str,
) -> dict[str, str]:
    monkeypatch.setattr(auth, "get_current_datetime", lambda: now)
    request = AWSRequest("POST", url, headers=dict(headers), data=body)
    auth.SigV4Auth(credentials, "sqs", region).add_auth(request)
    return {name.lower(): value for name, value in request.prepare().headers.items()}


def signed_by_signer(
    headers: Mapping[str, str],
    body: bytes,
    url: str,
    credentials: ReadOnlyCredentials,
    now: datetime.datetime,
    region: str,
) -> dict[str, str]:
    host = url.removeprefix("https://").removeprefix("http://").rstrip("/")
    signer = Signer(headers, host=host, region=region, service="sqs")
    made = signer.head(body, credentials, now.strftime("%Y%m%dT%H%M%SZ"))
    line, *rest = made.decode().removesuffix("\r\n\r\n").split("\r\n")
    assert line == "POST / HTTP/1.1"
    return dict(header.split(": ", 1) for header in rest)


@pytest.mark.parametrize("region", ["eu-west-1", "cn-north-1"])
@pytest.mark.parametrize(
    "now",
    [
        NOON,
        datetime.datetime(2026, 12, 31, 23, 59, 59, tzinfo=datetime.UTC),
        datetime.datetime(2027, 1, 1, 0, 0, 0, tzinfo=datetime.UTC),
        datetime.datetime(2028, 2, 29, 0, 0, 1, 999_999, tzinfo=datetime.UTC),
    ],
)
@pytest.mark.parametrize(
    ("headers", "body", "url", "credentials"),
    [
        (HEADERS, BODY, "https://sqs.eu-west-1.amazonaws.com/", KEYS),
        (HEADERS, BODY, "https://sqs.eu-west-1.amazonaws.com/", ReadOnlyCredentials("key", "secret", "token/+=" * 90)),
        (HEADERS, BODY, "http://127.0.0.1:4566/", ReadOnlyCredentials("AKIA/+", "se/cr+et é", None)),
        (HEADERS, b"", "https://vpce-1.sqs.eu-west-1.vpce.amazonaws.com/", KEYS),
        (
            HEADERS,
            '{"QueueUrl": "https://q/1/ä b%20c?d=é&f#g"}'.encode(),
            "https://sqs.eu-west-1.amazonaws.com/",
            KEYS,
        ),
        ({**HEADERS, "X-Odd": "  two   spaces, a\ttab  "}, BODY, "https://sqs.eu-west-1.amazonaws.com/", KEYS),
        ({**HEADERS, "X-Amzn-Trace-Id": "Root=1", "Expect": "x"}, BODY, "https://sqs.eu-west-1.amazonaws.com/", KEYS),
    ],
)
def test_the_signature_is_the_same_as_botocores(
    monkeypatch: pytest.MonkeyPatch,
    headers: Mapping[str, str],
    body: bytes,
    url: str,
    credentials: ReadOnlyCredentials,
    now: datetime.datetime,
    region: str,
) -> None:
    wanted = signed_by_botocore(monkeypatch, headers, body, url, credentials, now, region)
    found = signed_by_signer(headers, body, url, credentials, now, region)
    for name, value in wanted.items():
        assert found[name] == " ".join(value.split())


def test_signing_keys_are_not_reused_for_another_day_secret_or_region(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "https://sqs.eu-west-1.amazonaws.com/"
    for secret in ("a", "b", "a"):
        for days in (0, 1, 0):
            case = (HEADERS, BODY, url, ReadOnlyCredentials("key", secret, None), NOON + datetime.timedelta(days))
            for region in ("eu-west-1", "eu-west-2"):
                wanted = signed_by_botocore(monkeypatch, *case, region)
                assert signed_by_signer(*case, region)["authorization"] == wanted["authorization"]


def test_a_line_end_in_a_header_is_sent_as_a_space() -> None:
    found = signed_by_signer(
        {**HEADERS, "User-Agent": "a\r\nx-evil: 1"}, BODY, "https://q/", ReadOnlyCredentials("k", "s", "t\n"), NOON, "r"
    )
    assert "x-evil" not in found
    assert found["user-agent"] == "a x-evil: 1"
