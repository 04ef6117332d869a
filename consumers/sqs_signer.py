"""Signs a call to SQS as botocore's own SigV4 does, for the one form such a call has: POST, path ``/``, no query."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Protocol

from botocore.auth import SIGNED_HEADERS_BLACKLIST

_UNSIGNED = frozenset(SIGNED_HEADERS_BLACKLIST)


class Credentials(Protocol):
    """What botocore calls frozen credentials."""

    access_key: str
    secret_key: str
    token: str | None


def head(
    headers: Mapping[str, str],
    body: bytes,
    *,
    host: str,
    region: str,
    service: str,
    credentials: Credentials,
    timestamp: str,
) -> bytes:
    """Give the request's line and headers, signed; ``timestamp`` is UTC as ``20261125T083443Z``.

    Each value goes out as it is signed, its runs of white space as one space, so that none can hold a line end.
    """
    sent = {"host": host, "x-amz-date": timestamp}
    if credentials.token:
        sent["x-amz-security-token"] = credentials.token
    for name, value in headers.items():
        sent[name.lower()] = " ".join(value.split())
    signed = sorted(name for name in sent if name not in _UNSIGNED)
    names = ";".join(signed)
    values = "".join([f"{name}:{sent[name]}\n" for name in signed])
    canonical = f"POST\n/\n\n{values}\n{names}\n{sha256(body).hexdigest()}"
    scope = f"{timestamp[:8]}/{region}/{service}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{timestamp}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
    signature = hmac.digest(_key(credentials.secret_key, timestamp[:8], region, service), text.encode(), "sha256").hex()
    lines = "".join([f"{name}: {value}\r\n" for name, value in sent.items()])
    return (
        f"POST / HTTP/1.1\r\n{lines}accept-encoding: identity\r\ncontent-length: {len(body)}\r\n"
        f"authorization: AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}\r\n\r\n"
    ).encode()


@lru_cache(maxsize=1)
def _key(secret: str, *scope: str) -> bytes:
    """The day's key; it costs twice what the rest of a signature does."""
    key = f"AWS4{secret}".encode()
    for part in (*scope, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
