"""Serves a provider's keys, and signs tokens with them, for the case ``identity``."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

ISSUER = "https://login.example.com"
AUDIENCE = "push"


class KeyServer:
    """A JWK set of two RSA keys of 2,048 bits. The second is published by ``rotate``."""

    def __init__(self) -> None:
        self._keys = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2)]
        self._published = self._keys[:1]
        self.fetched = 0
        """How often the keys were asked for."""
        self.url = ""

    def sign(self, users: Sequence[int], *, key: int = 0) -> list[str]:
        """Sign a token for each user with one of the keys."""
        claims = {"iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + 86_400}
        headers = {"kid": f"key-{key}"}
        return [jwt.encode({**claims, "sub": str(user)}, self._keys[key], "RS256", headers) for user in users]

    def rotate(self) -> None:
        """Publish the second key beside the first."""
        self._published = self._keys

    def document(self) -> bytes:
        """Return the JWK set."""
        self.fetched += 1
        keys = [
            {**RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": f"key-{number}", "use": "sig"}
            for number, key in enumerate(self._published)
        ]
        return json.dumps({"keys": keys}).encode()


@contextmanager
def key_server() -> Iterator[KeyServer]:
    """Serve keys until the block ends."""
    keys = KeyServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = keys.document()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        keys.url = f"http://127.0.0.1:{server.server_address[1]}/keys"
        serving = Thread(target=server.serve_forever)
        serving.start()
        try:
            yield keys
        finally:
            server.shutdown()
            serving.join()
