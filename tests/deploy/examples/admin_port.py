"""The push service's admin port, as the examples use it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class AdminPort:
    """Stands for the push service's admin port. Remembers what it is asked to revoke."""

    def __init__(self) -> None:
        self.revoked: list[Any] = []
        self.on_revoke: Callable[[], Any] = lambda: None
        """Is called before the answer."""
        revoked, port = self.revoked, self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert (self.path, self.headers["Content-Type"]) == ("/revoke", "application/json")
                revoked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                port.on_revoke()
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> AdminPort:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
