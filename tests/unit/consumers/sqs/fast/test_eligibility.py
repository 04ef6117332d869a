"""The undocumented attributes that the fast path needs exist, and anything unusual is declined with a reason."""

from __future__ import annotations

import ast
import asyncio
import inspect
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import botocore
import pytest
from aiobotocore.awsrequest import AioAWSResponse
from aiobotocore.httpsession import AIOHTTPSession
from botocore.auth import SIGNED_HEADERS_BLACKLIST
from botocore.retries.quota import RetryQuota

from consumers.sqs import fast
from consumers.sqs.fast import eligibility
from consumers.sqs.fast.eligibility import CLIENT, EVENT, REQUEST, SESSION, SIGNER, Ineligible, check_client, check_url
from consumers.sqs.fast.fast_client import RETRY_QUOTA
from consumers.sqs.fast.status import OPERATIONS
from tests.integration.sqs_clients import client

NAMES = {"client": CLIENT, "AIOHTTPSession": SESSION, "request signer": SIGNER}


@pytest.fixture(scope="module")
def installed() -> dict[str, Any]:
    """The objects of the installed release of aiobotocore."""

    async def make() -> dict[str, Any]:
        async with client(None, fast=False) as sqs:
            session = sqs._endpoint.http_session
            assert type(session) is AIOHTTPSession
            return {"client": sqs, "AIOHTTPSession": session, "request signer": sqs._request_signer}

    return asyncio.run(make())


@pytest.mark.parametrize(("owner", "path"), [(owner, path) for owner, paths in NAMES.items() for path in paths])
def test_aiobotocore_still_has_the_attribute(installed: dict[str, Any], owner: str, path: str) -> None:
    attrgetter(path)(installed[owner])


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("event", ["before-call", "before-send", "needs-retry", "after-call"])
def test_aiobotocore_still_emits_the_event(event: str, operation: str) -> None:
    emitted: dict[str, dict[str, Any]] = {}

    async def test() -> None:
        async with client(None, fast=False) as sqs:

            def note(event_name: str, **arguments: Any) -> None:
                emitted[event_name.split(".")[0]] = arguments

            def answer(**_: Any) -> AioAWSResponse:
                return AioAWSResponse("https://sqs/", 200, {}, Raw())

            for name in ("before-call", "before-send", "needs-retry", "after-call"):
                sqs.meta.events.register_first(f"{name}.sqs.{operation}", note)
            sqs.meta.events.register(f"before-send.sqs.{operation}", answer)
            if operation == "ReceiveMessage":
                await sqs.receive_message(QueueUrl="q")
            else:
                await sqs.delete_message_batch(QueueUrl="q", Entries=[])

    asyncio.run(test())
    assert event in emitted
    assert set(EVENT) <= emitted["before-call"].keys()
    assert set(REQUEST) <= emitted["before-call"]["params"].keys()


class Raw:
    """A response as ``AioAWSResponse`` reads it."""

    async def read(self) -> bytes:
        return b"{}"


def test_build_ssl_contexts_still_takes_a_proxy_and_returns_two(installed: dict[str, Any]) -> None:
    assert len(installed["AIOHTTPSession"]._build_ssl_contexts(None)) == 2


def test_the_request_signer_still_takes_service_region_and_version(installed: dict[str, Any]) -> None:
    signature = inspect.signature(installed["request signer"].get_auth_instance)
    assert list(signature.parameters)[:3] == ["signing_name", "region_name", "signature_version"]


def test_the_retry_quota_still_has_the_same_size() -> None:
    assert RetryQuota().available_capacity == RETRY_QUOTA


def test_the_headers_that_botocore_does_not_sign_are_still_listed() -> None:
    assert {"expect", "user-agent", "x-amzn-trace-id"} <= set(SIGNED_HEADERS_BLACKLIST)


def test_every_private_attribute_that_the_package_uses_is_listed() -> None:
    listed = {name for paths in NAMES.values() for path in paths for name in path.split(".")}
    found = set(private_attributes())
    assert found == {"_build_ssl_contexts", "_endpoint", "_proxy_config"}
    assert found <= listed


def private_attributes() -> Iterator[str]:
    """Private attributes that the package reads from objects of other packages."""
    own = {"self", "cls"}
    for file in Path(fast.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Attribute) or not node.attr.startswith("_"):
                continue
            if node.attr.startswith("__") or (isinstance(node.value, ast.Name) and node.value.id in own):
                continue
            yield node.attr


@pytest.mark.parametrize("path", CLIENT)
def test_a_missing_attribute_of_the_client_is_named_in_the_reason(path: str) -> None:
    with pytest.raises(Ineligible) as caught:
        check_client(tree([name for name in CLIENT if name != path]))
    assert caught.value.reason == f"aiobotocore's client has no {path}"


@pytest.mark.parametrize("path", SESSION)
def test_a_missing_attribute_of_the_session_is_named_in_the_reason(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Session:
        pass

    monkeypatch.setattr(eligibility, "AIOHTTPSession", Session)
    session = tree([name for name in SESSION if name != path], Session())
    with pytest.raises(Ineligible) as caught:
        check_client(tree([*CLIENT], **{"_endpoint.http_session": session}))
    assert caught.value.reason == f"aiobotocore's AIOHTTPSession has no {path}"


@pytest.mark.parametrize("name", EVENT)
def test_a_missing_argument_of_the_event_is_named_in_the_reason(name: str) -> None:
    event = usual_event()
    del event[name]
    with pytest.raises(Ineligible, match=f"before-call event has no {name}$"):
        eligibility.check_event(event)


@pytest.mark.parametrize("name", REQUEST)
def test_a_missing_key_of_the_request_is_named_in_the_reason(name: str) -> None:
    event = usual_event()
    del event["params"][name]
    with pytest.raises(Ineligible, match=f"request has no {name}$"):
        eligibility.check_event(event)


@pytest.mark.parametrize("path", SIGNER)
def test_a_missing_attribute_of_the_signer_is_named_in_the_reason(path: str) -> None:
    signer = tree([name for name in SIGNER if name != path])
    with pytest.raises(Ineligible, match=f"request signer has no {path}$"):
        eligibility.check_event({**usual_event(), "request_signer": signer})


@pytest.mark.parametrize(
    ("params", "context", "reason"),
    [
        ({"method": "GET"}, {}, "POST of bytes"),
        ({"body": "text"}, {}, "POST of bytes"),
        ({}, {"auth_type": "v4a"}, "plain SigV4"),
        ({}, {"auth_type": "none"}, "plain SigV4"),
        ({}, {"signing": {"region": "*"}}, "plain SigV4"),
        ({}, {"payload_signing_enabled": False}, "plain SigV4"),
        ({}, {"unsigned_payload": True}, "plain SigV4"),
        ({}, {"read_timeout": 1}, "timeout of its own"),
    ],
)
def test_a_request_must_be_a_post_signed_in_the_usual_form(
    params: dict[str, Any], context: dict[str, Any], reason: str
) -> None:
    event = usual_event()
    eligibility.check_event(event)
    with pytest.raises(Ineligible, match=reason):
        eligibility.check_event({**event, "params": {**event["params"], **params}, "context": context})


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"use_fips_endpoint": True}, "FIPS endpoints are on"),
        ({"signature_version": botocore.UNSIGNED}, "signature_version is not v4"),
        ({"auth_scheme_preference": "sigv4a,sigv4"}, "auth_scheme_preference is set"),
        ({"retries": {"mode": "adaptive", "total_max_attempts": 1}}, "the retry mode is not standard or legacy"),
        ({"connector_args": {"use_dns_cache": False}}, "connector_args has more than keepalive_timeout"),
        ({"read_timeout": None}, "a timeout is 0 or None"),
        ({"http_session_cls": type("Other", (AIOHTTPSession,), {})}, "the HTTP session is not aiobotocore's own"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_client_with_unusual_settings_is_declined_with_the_reason(options: dict[str, Any], reason: str) -> None:
    async def test() -> None:
        async with client(None, fast=False, **options) as sqs:
            with pytest.raises(Ineligible) as caught:
                check_client(sqs)
            assert caught.value.reason == reason

    asyncio.run(test())


@pytest.mark.parametrize("options", [{}, {"use_dualstack_endpoint": True}])
def test_a_client_with_usual_settings_is_eligible(options: dict[str, Any]) -> None:
    async def test() -> None:
        async with client(None, fast=False, **options) as sqs:
            assert check_client(sqs) is sqs._endpoint.http_session

    asyncio.run(test())


@pytest.mark.parametrize(
    "url",
    [
        "https://sqs.eu-west-1.amazonaws.com/",
        "https://sqs.cn-north-1.amazonaws.com.cn/",
        "https://sqs.eu-west-1.api.aws/",
        "https://vpce-0a-1b.sqs.eu-west-1.vpce.amazonaws.com/",
        "http://127.0.0.1:4566/",
    ],
)
def test_a_bare_scheme_and_host_is_eligible(url: str) -> None:
    check_url(url, AIOHTTPSession())


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1]:4566/",
        "https://a@b/",
        "https://HOST/",
        "https://host:443/",
        "https://host/path",
        "https://host/?a=b",
        "https://hóst/",
    ],
)
def test_any_other_url_is_declined(url: str) -> None:
    with pytest.raises(Ineligible, match="bare scheme and host name"):
        check_url(url, AIOHTTPSession())


def test_an_endpoint_behind_a_proxy_is_declined() -> None:
    with pytest.raises(Ineligible, match="a proxy is set"):
        check_url("https://host/", AIOHTTPSession(proxies={"https": "http://proxy"}))


def usual_event() -> dict[str, Any]:
    """Return the arguments of ``before-call`` for an eligible request."""
    request = {"method": "POST", "body": b"", "headers": {}, "url": "https://q/"}
    return {"params": request, "context": {"auth_type": "v4"}, "model": None, "request_signer": tree([*SIGNER])}


def tree(paths: list[str], root: Any = None, **values: Any) -> Any:
    """Return an object with these attributes. Dotted paths are nested."""
    root = SimpleNamespace() if root is None else root
    for path in paths:
        *parents, name = path.split(".")
        owner = root
        for parent in parents:
            if not hasattr(owner, parent):
                setattr(owner, parent, SimpleNamespace())
            owner = getattr(owner, parent)
        setattr(owner, name, values.get(path))
    return root
