"""What of aiobotocore's settings and calls is the plain case, which the short way may take."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from aiobotocore.httpsession import AIOHTTPSession


def plain_session(client: Any) -> AIOHTTPSession | None:
    """The client's HTTP session; None where anything is set that the short way does not know."""
    session = getattr(getattr(client, "_endpoint", None), "http_session", None)
    config = client.meta.config
    plain = (
        type(session) is AIOHTTPSession
        # Private, and so perhaps not there in another release.
        and hasattr(session, "_build_ssl_contexts")
        and hasattr(session, "_proxy_config")
        and config.signature_version == "v4"
        and not config.auth_scheme_preference
        and config.retries["mode"] in ("standard", "legacy")
        and not config.use_fips_endpoint
        and list(config.connector_args) == ["keepalive_timeout"]
        and all((config.connect_timeout, config.read_timeout, config.connector_args["keepalive_timeout"]))
    )
    return session if plain else None


def plain_url(url: str, session: AIOHTTPSession) -> bool:
    """Whether it is no more than a scheme and a host that signs as it is written, reached without a proxy."""
    parts = urlsplit(url)
    return (
        url in (f"http://{parts.netloc}/", f"https://{parts.netloc}/")
        and url.isascii()
        and url == url.lower()
        and not set("@[]%") & set(url)
        and not parts.netloc.endswith((":443", ":80"))
        and session._proxy_config.proxy_url_for(url) is None
    )


def plain_call(params: dict[str, Any], context: dict[str, Any]) -> bool:
    """Whether a serialised call is signed by SigV4 in its usual form, and within the client's own timeouts."""
    return (
        params["method"] == "POST"
        and isinstance(params["body"], bytes)
        and context.get("auth_type") in (None, "v4")
        and not context.get("signing")
        and not context.get("unsigned_payload")
        and context.get("payload_signing_enabled", True)
        and "read_timeout" not in context
    )
