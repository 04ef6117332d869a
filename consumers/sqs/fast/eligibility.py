"""Decides which clients, endpoints and requests may take the fast path: those without unusual settings.

The tuples below list every undocumented attribute of aiobotocore and botocore that this package uses. A test checks
each of them against the installed release.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Any
from urllib.parse import urlsplit

from aiobotocore.httpsession import AIOHTTPSession

CLIENT = (
    "_endpoint.http_session",
    "meta.config.auth_scheme_preference",
    "meta.config.connect_timeout",
    "meta.config.connector_args",
    "meta.config.max_pool_connections",
    "meta.config.read_timeout",
    "meta.config.retries",
    "meta.config.signature_version",
    "meta.config.use_fips_endpoint",
    "meta.events.emit",
    "meta.events.register_first",
)
"""Attributes of an SQS client."""

SESSION = ("_build_ssl_contexts", "_proxy_config.proxy_url_for")
"""Attributes of the client's ``AIOHTTPSession``."""

EVENT = ("context", "model", "params", "request_signer")
"""Arguments of the ``before-call`` event."""

REQUEST = ("body", "headers", "method", "url")
"""Keys of the event's ``params``."""

SIGNER = ("get_auth_instance", "region_name", "signing_name")
"""Attributes of the event's ``request_signer``."""


class Ineligible(Exception):  # noqa: N818  names the finding
    """The fast path cannot be taken; ``reason`` says why, for the log."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def check_client(client: Any) -> AIOHTTPSession:
    """Return the client's HTTP session. Raises Ineligible for settings that the fast path does not support."""
    _require("client", client, CLIENT)
    session = client._endpoint.http_session
    _refuse_if(type(session) is not AIOHTTPSession, "the HTTP session is not aiobotocore's own")
    _require("AIOHTTPSession", session, SESSION)
    config = client.meta.config
    _refuse_if(bool(config.use_fips_endpoint), "FIPS endpoints are on")
    _refuse_if(config.signature_version != "v4", "signature_version is not v4")
    _refuse_if(bool(config.auth_scheme_preference), "auth_scheme_preference is set")
    _refuse_if(
        (config.retries or {}).get("mode") not in ("standard", "legacy"), "the retry mode is not standard or legacy"
    )
    _refuse_if(
        list(config.connector_args or ()) != ["keepalive_timeout"], "connector_args has more than keepalive_timeout"
    )
    timeouts = config.connect_timeout, config.read_timeout, config.connector_args["keepalive_timeout"]
    _refuse_if(not all(timeouts), "a timeout is 0 or None")
    return session


def check_url(url: str, session: AIOHTTPSession) -> None:
    """Raise Ineligible if a proxy is set, or if the URL is not a bare scheme and host, which needs no normalisation."""
    parts = urlsplit(url)
    _refuse_if(
        url not in (f"http://{parts.netloc}/", f"https://{parts.netloc}/")
        or not url.isascii()
        or url != url.lower()
        or bool(set("@[]%") & set(url))
        or parts.netloc.endswith((":443", ":80")),
        "the endpoint is not a bare scheme and host name",
    )
    _refuse_if(session._proxy_config.proxy_url_for(url) is not None, "a proxy is set for the endpoint")


def check_event(event: Mapping[str, Any]) -> None:
    """Raise Ineligible unless a ``before-call`` event describes a POST that is signed by plain SigV4."""
    for name in EVENT:
        _refuse_if(name not in event, f"aiobotocore's before-call event has no {name}")
    request, context = event["params"], event["context"]
    for name in REQUEST:
        _refuse_if(name not in request, f"aiobotocore's request has no {name}")
    _require("request signer", event["request_signer"], SIGNER)
    _refuse_if(
        request["method"] != "POST" or not isinstance(request["body"], bytes), "a request is not a POST of bytes"
    )
    _refuse_if(
        context.get("auth_type") not in (None, "v4")
        or bool(context.get("signing"))
        or bool(context.get("unsigned_payload"))
        or not context.get("payload_signing_enabled", True),
        "requests are not signed by plain SigV4",
    )
    _refuse_if("read_timeout" in context, "a request has a timeout of its own")


def _require(name: str, owner: Any, paths: tuple[str, ...]) -> None:
    for path in paths:
        try:
            attrgetter(path)(owner)
        except AttributeError:
            raise Ineligible(f"aiobotocore's {name} has no {path}") from None


def _refuse_if(condition: bool, reason: str) -> None:
    if condition:
        raise Ineligible(reason)
