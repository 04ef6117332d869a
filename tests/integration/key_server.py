"""The part of an OpenID provider that a service talks to: discovery and keys, over HTTP on this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.unit.auth.providers.signing_keys import SigningKey

DISCOVERY = "/.well-known/openid-configuration"


class KeyServer:
    """Documents by path, which a test may change at any time. What is not here is 404."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[str] = []
        self.away = False
        """Whether every request is answered with 503."""
        self.documents: dict[str, Any] = {DISCOVERY: {"issuer": url, "jwks_uri": f"{url}/keys"}}

    def publish(self, *keys: SigningKey, path: str = "/keys") -> None:
        self.documents[path] = {"keys": [key.jwk for key in keys]}


@contextmanager
def key_server(*keys: SigningKey) -> Iterator[KeyServer]:
    """Run a server that publishes these keys."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.asked.append(self.path)
            document = server.documents.get(self.path)
            self.send_response(503 if server.away else 404 if document is None else 200)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        server = KeyServer(f"http://127.0.0.1:{listening.server_port}")
        server.publish(*keys)
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            listening.shutdown()
            thread.join()
