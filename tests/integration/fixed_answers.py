"""An HTTP server on loopback that gives one fixed answer for each path."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm


@dataclass(frozen=True)
class Answer:
    """What is answered. A body that is no text is sent as JSON."""

    body: Any = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    ahead: float = 0.0
    """How far the server's clock is ahead."""


@dataclass
class Site:
    """A running server. Paths that are not in ``answers`` are 404."""

    url: str
    answers: dict[str, Answer]
    asked: list[tuple[str, dict[str, str]]]
    """The path and the headers of each request."""


@contextmanager
def site() -> Iterator[Site]:
    """Run a server until the block ends."""
    running = Site("", {}, [])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            running.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            answer = running.answers.get(self.path, Answer(status=404))
            body = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
            self.send_response_only(answer.status)
            self.send_header("Date", formatdate(time() + answer.ahead, usegmt=True))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        running.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield running
        finally:
            server.shutdown()
            thread.join()


@dataclass(frozen=True)
class FixedProvider:
    """An OpenID provider with one RSA key. Its answers may be changed."""

    site: Site
    key: Any
    kid: str = "key-1"

    @property
    def issuer(self) -> str:
        return self.site.url

    @property
    def environment(self) -> dict[str, str]:
        return {"SSE_OIDC_ISSUERS": self.issuer, "SSE_JWT_AUDIENCE": "push"}

    def token(self, *, kid: str | None = None, **claims: Any) -> str:
        given = {"iss": self.issuer, "aud": "push", "sub": "42", "iat": int(time()), "exp": int(time()) + 600, **claims}
        kept = {name: value for name, value in given.items() if value is not None}
        return jwt.encode(kept, self.key, algorithm="RS256", headers={"kid": kid or self.kid})


@contextmanager
def provider() -> Iterator[FixedProvider]:
    """Run a provider until the block ends."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    jwk = {**RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": "key-1", "use": "sig", "alg": "RS256"}
    with site() as running:
        document = {"issuer": running.url, "jwks_uri": f"{running.url}/keys"}
        running.answers["/.well-known/openid-configuration"] = Answer(document)
        running.answers["/keys"] = Answer({"keys": [jwk]})
        yield FixedProvider(running, key)
