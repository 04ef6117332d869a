"""Which captured calls can be prepared, and which credentials can be sent."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
from botocore.credentials import ReadOnlyCredentials

from consumers.sqs.fast.connection_pool import ConnectionPool
from consumers.sqs.fast.eligibility import Ineligible
from consumers.sqs.fast.prepared_call import CapturedCall, PreparedCall, prepare
from consumers.sqs.fast.signer import Signer


class RequestSigner:
    """Replaces aiobotocore's signer."""

    region_name, signing_name = "eu-west-1", "sqs"

    def __init__(self, *, access_key: str = "key", token: str | None = None) -> None:
        self.found = ReadOnlyCredentials(access_key, "secret", token)

    async def get_auth_instance(self, *_: str) -> Any:
        return SimpleNamespace(credentials=self.found)


def prepared(body: bytes) -> PreparedCall:
    """Prepare a call with the parameter ``QueueUrl``, for which aiobotocore made this body."""
    pool = ConnectionPool(
        urlsplit("https://q/"),
        tls=pytest.fail,
        max_connections=1,
        connect_seconds=1,
        silence_seconds=1,
        keep_seconds=1,
    )
    request = {"url": "https://q/", "method": "POST", "headers": {}, "body": body}
    event = {"params": request, "request_signer": RequestSigner(), "context": {}, "model": None}
    return prepare(CapturedCall(event), {"QueueUrl": "q"}, lambda url: pool)


def test_a_call_whose_body_is_its_parameters_as_json_is_prepared() -> None:
    assert prepared(b'{"QueueUrl": "q"}').url == "https://q/"


@pytest.mark.parametrize("body", [b"\xbf\xff", b"Action=ReceiveMessage", b"{}", b'{"QueueUrl": "q", "more": 1}'])
def test_a_body_of_another_protocol_or_with_other_parameters_is_not_prepared(body: bytes) -> None:
    """A future botocore may use CBOR for SQS."""
    with pytest.raises(Ineligible, match="not its parameters as JSON"):
        prepared(body)


@pytest.mark.parametrize(
    ("access_key", "token", "usable"),
    [("key", None, True), ("key", "token", True), ("key", "token\nX-Other: 1", False), ("key\r\n", None, False)],
)
def test_credentials_with_a_line_end_are_not_sent(access_key: str, token: str | None, usable: bool) -> None:
    request_signer = RequestSigner(access_key=access_key, token=token)
    signer = Signer({}, host="sqs", region="eu-west-1", service="sqs")
    call = PreparedCall("https://sqs/", cast("Any", None), signer, None, request_signer)
    assert asyncio.run(call.credentials()) == (request_signer.found if usable else None)
