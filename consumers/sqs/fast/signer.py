"""Signs calls to SQS as botocore's SigV4 does, for one kind of request: POST, path ``/``, no query."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import sha256
from typing import NamedTuple, Protocol

from botocore.auth import SIGNED_HEADERS_BLACKLIST

_UNSIGNED = frozenset(SIGNED_HEADERS_BLACKLIST)


class Credentials(Protocol):
    """The fields of botocore's ``ReadOnlyCredentials``."""

    access_key: str
    secret_key: str
    token: str | None


class Signer:
    """Makes the signed request heads of calls that differ only in their bodies."""

    def __init__(self, headers: Mapping[str, str], *, host: str, region: str, service: str) -> None:
        self._headers = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
        self._host = host
        self.region = region
        self.service = service
        self._shared: _Shared | None = None

    def head(self, body: bytes, credentials: Credentials, timestamp: str) -> bytes:
        """Return the request line and the headers; ``timestamp`` is UTC in the form ``20261125T083443Z``.

        Each header is sent as it is signed, with each run of white space as one space, so no value can contain a
        line end. The caller has checked the credentials for line ends.
        """
        shared = self._shared
        if shared is None or shared.timestamp != timestamp or shared.credentials != credentials:
            shared = self._shared = self._prepare(credentials, timestamp)
        canonical = shared.canonical + sha256(body).hexdigest()
        text = shared.text + sha256(canonical.encode()).hexdigest()
        signature = hmac.digest(shared.key, text.encode(), "sha256").hex()
        return f"{shared.head}{signature}\r\ncontent-length: {len(body)}\r\n\r\n".encode()

    def _prepare(self, credentials: Credentials, timestamp: str) -> _Shared:
        """Make the parts that all heads of one second share. The signing key of the day costs most of the CPU."""
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
        return _Shared(
            timestamp=timestamp,
            credentials=credentials,
            canonical=f"POST\n/\n\n{values}\n{names}\n",
            text=f"AWS4-HMAC-SHA256\n{timestamp}\n{'/'.join(scope)}\n",
            key=key,
            head=f"POST / HTTP/1.1\r\n{lines}accept-encoding: identity\r\nauthorization: AWS4-HMAC-SHA256 "
            f"Credential={credentials.access_key}/{'/'.join(scope)}, SignedHeaders={names}, Signature=",
        )


class _Shared(NamedTuple):
    """The parts that all heads share if they are signed in the same second with the same credentials."""

    timestamp: str
    credentials: Credentials
    canonical: str
    """The canonical request without the hash of the body."""
    text: str
    """The string to sign without the hash of the canonical request."""
    key: bytes
    head: str
    """The head up to the signature."""
