"""The forms that settings have: what is read from a variable's text, and what is wrong with it."""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qs, urlsplit

from pydantic import AfterValidator, SecretStr

from sse_service.auth.tokens import check_secret
from sse_service.routing.overrides import compiled
from sse_service.routing.s3 import key_pattern as compiled_key_pattern

MAX_HEARTBEAT_SECONDS = 50
"""An ALB's idle timeout is 60 s by default; ten are left for a busy network."""

COOKIE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 6265 §4.1.1: an HTTP token
DOMAIN = re.compile(r"\.?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
TOPIC = re.compile(r"arn:[a-z-]+:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_.-]+")
NAMESPACE = re.compile(r"(?!AWS/)[A-Za-z0-9.\-_/#:]{1,255}")  # CloudWatch's own begin with AWS/
_HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*|\[[0-9a-f:.]+\]")
_DATABASE = re.compile(r"[0-9]{0,5}")
_TLS_QUERIES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def form(pattern: re.Pattern[str], meaning: str) -> AfterValidator:
    """A text that the whole pattern matches; `meaning` says what it must be."""

    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(f"must be {meaning}")
        return value

    return AfterValidator(check)


def items(value: Any) -> Any:
    """A list separated by commas."""
    return [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value


def secrets(value: Any) -> Any:
    """Secrets separated by commas, each to the letter."""
    return value.split(",") if isinstance(value, str) else value


def word(value: Any) -> Any:
    """A word in any case."""
    return value.strip().lower() if isinstance(value, str) else value


def secret(value: SecretStr) -> SecretStr:
    """A secret that is one, is long enough, and has nothing around it."""
    text = value.get_secret_value()
    if text != text.strip():
        raise ValueError("must have no space or line end around a secret: the signer's would have none")
    check_secret(text)
    return value


def origin(value: str) -> str:
    """An origin as browsers write it (RFC 6454 §6.2): lower case, no default port, nothing after the port."""
    try:
        parts = urlsplit(value.lower())
        scheme, port = parts.scheme, parts.port
    except ValueError:
        scheme, port = "", None
    host = parts.netloc.removesuffix(f":{port}") if scheme in _DEFAULT_PORTS else ""
    if not _HOST.fullmatch(host) or f"{scheme}://{parts.netloc}" != value.lower():
        raise ValueError("must be exact origins, as https://app.example.com: no *, no path")
    return f"{scheme}://{host}" if port in (None, _DEFAULT_PORTS[scheme]) else f"{scheme}://{host}:{port}"


def network(value: Any) -> Any:
    """A network that is not all addresses."""
    if not isinstance(value, str):
        return value
    try:
        network = ip_network(value)
    except ValueError:
        raise ValueError("must be networks, as 10.0.0.0/16, with no bit set behind the prefix") from None
    if network.prefixlen == 0:
        # Anyone's X-Forwarded-For would be believed.
        raise ValueError("must not trust every address")
    return network


def heartbeat(value: int) -> int:
    """Seconds of silence that no load balancer takes for an end."""
    if not 1 <= value <= MAX_HEARTBEAT_SECONDS:
        raise ValueError(f"must be 1 to {MAX_HEARTBEAT_SECONDS}, as an ALB cuts after 60 s without a byte")
    return value


def queue(value: str) -> str:
    """A standard queue's URL."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.netloc or not parts.path.strip("/"):
        raise ValueError("must be a queue's URL, as https://sqs.eu-west-1.amazonaws.com/123456789012/events")
    if value.endswith(".fifo"):
        raise ValueError("must be a standard queue: FIFO queues are not supported")
    return value


def broker(secret: SecretStr) -> SecretStr:
    """`memory://`, or the URL of a Valkey or Redis server."""
    value = secret.get_secret_value()
    try:
        parts = urlsplit(value)
        database = parts.path.removeprefix("/")
        store = parts.scheme in ("redis", "rediss") and parts.port != 0 and _DATABASE.fullmatch(database) is not None
    except ValueError:
        store = False
    if value != "memory://" and not (store and parts.hostname and not parts.fragment):
        raise ValueError("must be memory://, redis://host:6379 or, with TLS, rediss://:…@host:6379/0")
    allowed = _TLS_QUERIES if parts.scheme == "rediss" else ()
    for name, values in parse_qs(parts.query, keep_blank_values=True).items():
        if name not in allowed:
            raise ValueError(f"must have no query but, with rediss://, {', '.join(_TLS_QUERIES)}")
        if not Path(values[-1]).is_file():
            raise ValueError(f"must name a file that is there in {name}")
    return secret


def expression(value: str) -> str:
    """A JMESPath expression."""
    compiled(value)
    return value


def key_pattern(value: str) -> str:
    """A pattern of S3 keys."""
    compiled_key_pattern(value)
    return value


Expression = Annotated[str, AfterValidator(expression)] | None
"""An override of the routing; unset, the defaults decide."""
