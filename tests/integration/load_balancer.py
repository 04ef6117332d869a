"""A stand-in for a load balancer that signs users in: the header that it adds, and the endpoint of its keys."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ARN = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/push/0123456789abcdef"
KID = "12345678-1234-1234-1234-123456789abc"
NAME = "x-amzn-oidc-data"


def pem(key: PrivateKeyTypes) -> bytes:
    """Return the public key as AWS publishes it."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


class LoadBalancer:
    """Signs the header as AWS does: ES256, with padding after each part."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())

    def header(self, *, claims: dict[str, Any] | None = None, ttl_seconds: int = 120, **fields: Any) -> str:
        """Return the header's value. ``fields`` change the JOSE header; None removes a field."""
        signed = self._signed({"sub": "42"} if claims is None else claims, ttl_seconds, fields)
        return f"{signed}.{_segment(jwt.get_algorithm_by_name('ES256').sign(signed.encode(), self.key))}"

    def hs256_header(self) -> str:
        """Sign with the public key as if it were a shared secret (key confusion, RFC 8725 section 2.1)."""
        signed = self._signed({"sub": "42"}, 120, {"alg": "HS256"})
        algorithm = jwt.get_algorithm_by_name("HS256")
        # PyJWT's prepare_key refuses to do this.
        return f"{signed}.{_segment(algorithm.sign(signed.encode(), pem(self.key)))}"

    def unsigned_header(self, alg: str) -> str:
        """Return the header without a signature."""
        return self._signed({"sub": "42"}, 120, {"alg": alg}) + "."

    def _signed(self, claims: dict[str, Any], ttl_seconds: int, fields: dict[str, Any]) -> str:
        header = {
            "typ": "JWT",
            "kid": KID,
            "alg": "ES256",
            "iss": "https://login.example.com",
            "client": "the-client",
            "signer": ARN,
            "exp": int(time.time()) + ttl_seconds,
        } | fields
        present = {name: value for name, value in header.items() if value is not None}
        return f"{_segment(json.dumps(present).encode())}.{_segment(json.dumps(claims).encode())}"


def _segment(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode()


class KeysEndpoint:
    """The endpoint of a region's keys. It is also the service's proxy, so it sees requests to anywhere else."""

    def __init__(self) -> None:
        self.keys: dict[str, bytes] = {}
        self.status = 403
        """The answer for a key that is not known."""
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/"

    @property
    def environment(self) -> dict[str, str]:
        """Send requests to other hosts here, so that they are seen."""
        names = {"http_proxy": self.url, "https_proxy": self.url, "no_proxy": "127.0.0.1"}
        return names | {name.upper(): value for name, value in names.items()}

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                endpoint.asked.append(self.path)
                key = endpoint.keys.get(self.path.removeprefix("/"))
                self.send_response(endpoint.status if key is None else 200)
                self.send_header("Content-Length", str(len(key or b"")))
                self.end_headers()
                self.wfile.write(key or b"")

            do_CONNECT = do_GET  # noqa: N815  http.server's name

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        return Handler


@contextmanager
def keys_endpoint() -> Iterator[KeysEndpoint]:
    endpoint = KeysEndpoint()
    try:
        yield endpoint
    finally:
        endpoint.close()
