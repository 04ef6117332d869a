"""Signs a call to SQS as botocore's own SigV4 does, for the one form such a call has: POST, path ``/``, no query."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import sha256
from typing import NamedTuple, Protocol

from botocore.auth import SIGNED_HEADERS_BLACKLIST

_UNSIGNED = frozenset(SIGNED_HEADERS_BLACKLIST)


class Credentials(Protocol):
    """What botocore calls frozen credentials."""

    access_key: str
    secret_key: str
    token: str | None


class Signer:
    """Makes the heads of calls that differ in their bodies only."""

    def __init__(self, headers: Mapping[str, str], *, host: str, region: str, service: str) -> None:
        self._headers = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
        self._host = host
        self.region = region
        self.service = service
        self._second: _Second | None = None

    def head(self, body: bytes, credentials: Credentials, timestamp: str) -> bytes:
        """Give the request's line and headers, signed; ``timestamp`` is UTC as ``20261125T083443Z``.

        Each value goes out as it is signed, its runs of white space as one space, so that none can hold a line end;
        the credentials must hold none.
        """
        second = self._second
        if second is None or second.timestamp != timestamp or second.credentials != credentials:
            second = self._second = self._prepare(credentials, timestamp)
        canonical = second.canonical + sha256(body).hexdigest()
        text = second.text + sha256(canonical.encode()).hexdigest()
        signature = hmac.digest(second.key, text.encode(), "sha256").hex()
        return f"{second.head}{signature}\r\ncontent-length: {len(body)}\r\n\r\n".encode()

    def _prepare(self, credentials: Credentials, timestamp: str) -> _Second:
        """All that two heads of the same second have in common, the day's key too, which costs most."""
        sent = {"host": self._host, "x-amz-date": timestamp}
        if credentials.token:
            sent["x-amz-security-token"] = credentials.token
        sent |= self._headers
        signed = sorted(name for name in sent if name not in _UNSIGNED)
        names = ";".join(signed)
        values = "".join([f"{name}:{sent[name]}\n" for name in signed])
        scope = (timestamp[:8], self.region, self.service, "aws4_request")
        key = f"AWS4{credentials.secret_key}".encode()
        for part in scope:
            key = hmac.digest(key, part.encode(), "sha256")
        lines = "".join([f"{name}: {value}\r\n" for name, value in sent.items()])
        return _Second(
            timestamp=timestamp,
            credentials=credentials,
            canonical=f"POST\n/\n\n{values}\n{names}\n",
            text=f"AWS4-HMAC-SHA256\n{timestamp}\n{'/'.join(scope)}\n",
            key=key,
            head=f"POST / HTTP/1.1\r\n{lines}accept-encoding: identity\r\nauthorization: AWS4-HMAC-SHA256 "
            f"Credential={credentials.access_key}/{'/'.join(scope)}, SignedHeaders={names}, Signature=",
        )


class _Second(NamedTuple):
    """What a head is put together from."""

    timestamp: str
    credentials: Credentials
    canonical: str
    text: str
    key: bytes
    head: str
