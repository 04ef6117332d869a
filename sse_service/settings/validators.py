"""Reads and checks the text of each setting's variable.

An error's text is printed after the variable's name and a colon. It never contains the value, which may be a secret.
"""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qs, urlsplit

from pydantic import AfterValidator, SecretStr

from sse_service.auth.outbound.addresses import is_forbidden_host, is_loopback
from sse_service.auth.tokens.shared_secrets import check_secret
from sse_service.routing.overrides import compiled
from sse_service.routing.s3 import key_pattern as compiled_key_pattern

MAX_HEARTBEAT_SECONDS = 50
"""An ALB closes a connection after 60 s without a byte by default; 10 s are left for a slow network."""

COOKIE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 6265 section 4.1.1: an HTTP token
DOMAIN = re.compile(r"\.?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")  # browsers drop a cookie for com or localhost
TOPIC = re.compile(r"arn:[a-z-]+:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_.-]+")
ALB = re.compile(r"arn:aws[a-z-]*:elasticloadbalancing:[a-z0-9-]+:\d{12}:loadbalancer/app/[A-Za-z0-9-]+/[0-9a-f]+")
CALLABLE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
NAMESPACE = re.compile(r"(?!AWS/)[A-Za-z0-9.\-_/#:]{1,255}")  # names that begin with AWS/ are CloudWatch's own
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")  # RFC 3986 section 3.1
_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]")
_DATABASE = re.compile(r"[0-9]{0,5}")
_TLS_QUERIES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_DISCOVERY = "/.well-known/openid-configuration"
_DEFAULT_PORTS = {"http": 80, "https": 443}


def matches(pattern: re.Pattern[str], meaning: str) -> AfterValidator:
    """Check that the pattern matches the whole text. ``meaning`` says what the text must be."""

    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(f"must be {meaning}")
        return value

    return AfterValidator(check)


def split(value: Any) -> Any:
    """Split a list at its commas, and drop white space and empty items."""
    return [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value


def split_secrets(value: Any) -> Any:
    """Split secrets at their commas, and keep white space."""
    return value.split(",") if isinstance(value, str) else value


def lower_case(value: Any) -> Any:
    """Accept a word in any case."""
    return value.lower() if isinstance(value, str) else value


def unpadded(value: SecretStr) -> SecretStr:
    """Refuse white space around a secret. It is invisible, and must not be dropped: it may belong to the secret."""
    text = value.get_secret_value()
    if text != text.strip():
        raise ValueError("must have no space or line end around a secret")
    return value


def hs256_secret(value: SecretStr) -> SecretStr:
    """Check one secret for HS256 tokens."""
    check_secret(unpadded(value).get_secret_value())
    return value


def origin(value: str) -> str:
    """Return an origin as browsers write it (RFC 6454 section 6.2): in lower case, without a default port.

    Any scheme is accepted: pages inside an app have origins such as ``capacitor://localhost``.
    """
    value = value.lower()
    try:
        parts = urlsplit(value)
        scheme, port = parts.scheme, parts.port
    except ValueError:
        scheme, port = "", None
    host = parts.netloc.removesuffix(f":{port}") if _SCHEME.fullmatch(scheme) else ""
    if not _HOST.fullmatch(host) or f"{scheme}://{parts.netloc}" != value:
        raise ValueError("must be exact origins, such as https://app.example.com: no * and no path")
    return f"{scheme}://{host}" if port in (None, _DEFAULT_PORTS.get(scheme)) else f"{scheme}://{host}:{port}"


def network(value: Any) -> Any:
    """Read a network. The network of all addresses is refused."""
    if not isinstance(value, str):
        return value
    try:
        network = ip_network(value)
    except ValueError:
        raise ValueError("must be networks, such as 10.0.0.0/16, with no bit set after the prefix") from None
    if network.prefixlen == 0:
        # The service would trust everyone's X-Forwarded-For header.
        raise ValueError("must not trust every address")
    return network


def heartbeat(value: int) -> int:
    """Check that heartbeats are frequent enough to keep a connection through a load balancer open."""
    if not 1 <= value <= MAX_HEARTBEAT_SECONDS:
        raise ValueError(f"must be 1 to {MAX_HEARTBEAT_SECONDS}, as an ALB closes after 60 s without a byte")
    return value


def queue(value: str) -> str:
    """Check the URL of a standard queue."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.netloc or not parts.path.strip("/") or _has_gap(value):
        raise ValueError("must be the URL of a queue, such as https://sqs.eu-west-1.amazonaws.com/123456789012/events")
    if value.endswith(".fifo"):
        raise ValueError("must be a standard queue: FIFO queues are not supported")
    return value


def broker(secret: SecretStr) -> SecretStr:
    """Check ``memory://``, or the URL of a Valkey or Redis server."""
    value = secret.get_secret_value()
    try:
        parts = urlsplit(value)
        database = parts.path.removeprefix("/")
        store = parts.scheme in ("redis", "rediss") and parts.port != 0 and _DATABASE.fullmatch(database) is not None
    except ValueError:
        store = False
    if value != "memory://" and not (store and parts.hostname and not parts.fragment and not _has_gap(value)):
        raise ValueError("must be memory://, redis://host:6379 or, with TLS, rediss://:…@host:6379/0")
    allowed = _TLS_QUERIES if parts.scheme == "rediss" else ()
    for name, values in parse_qs(parts.query, keep_blank_values=True).items():
        if name not in allowed:
            raise ValueError(f"must have no query, except {', '.join(_TLS_QUERIES)} with rediss://")
        if not Path(values[-1]).is_file():
            raise ValueError(f"must name an existing file in {name}")
    return secret


def issuer(value: str) -> str:
    """Check the issuer of an OpenID provider (OpenID Connect Discovery 1.0 section 2). It is kept to the letter."""
    if value.rstrip("/").endswith(_DISCOVERY):
        raise ValueError(f"must be the issuer alone, without {_DISCOVERY}")
    return _checked_url(value, example="https://login.example.com", query=False)


def keys_url(value: str) -> str:
    """Check the URL of a provider's keys."""
    return _checked_url(value, example="https://login.example.com/keys")


def authorizer_url(value: str) -> str:
    """Check the URL of the authorizer."""
    return _checked_url(value, example="http://backend.internal/push/user", own=True)


def _checked_url(value: str, *, example: str, query: bool = True, own: bool = False) -> str:
    """Check an HTTPS URL. HTTP is allowed to this machine, where nobody is on the way.

    With ``own`` it is the operator's own back end: it may have any address, and plain HTTP.
    """
    meaning = f"must be an {'http or https' if own else 'https'} URL, such as {example}"
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError(meaning) from None
    if parts.scheme not in ("https", "http") or not host or _has_gap(value):
        raise ValueError(meaning)
    if not own and is_forbidden_host(host):
        raise ValueError("must not name a link-local address or an instance's metadata")
    if parts.scheme == "http" and not own and not is_loopback(host):
        raise ValueError(f"must use https, such as {example}")
    if parts.username is not None or parts.fragment or (parts.query and not query):
        raise ValueError(f"must have no {'user or' if query else 'user, query or'} fragment")
    return value


def expression(value: str) -> str:
    """Check a JMESPath expression."""
    compiled(value)
    return value


def key_pattern(value: str) -> str:
    """Check a pattern for S3 keys."""
    compiled_key_pattern(value)
    return value


Expression = Annotated[str, AfterValidator(expression)] | None
"""An override of the routing. If it is unset, the default rules apply."""


def _has_gap(url: str) -> bool:
    """Whether a URL contains a space or a control character. ``urlsplit`` silently drops some of them."""
    return not url.isprintable() or " " in url
