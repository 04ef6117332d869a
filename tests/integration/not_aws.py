"""Servers that are not AWS, and answer its calls with a page."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Page:
    """An answer to every request."""

    status: int
    body: str
    kind: str = "text/html"


PAGES = {
    "python -m http.server": Page(501, "<!DOCTYPE HTML>\n<html><head><meta charset='utf-8'></head></html>"),
    "sign-in page": Page(200, "<!doctype html><html><body>Sign in<br></body></html>"),
    "sign-in page that is XML": Page(200, "<html><body>Sign in</body></html>"),
    "redirect": Page(302, "<html><body>Moved</body></html>"),
    "refusal of a proxy": Page(403, "<html><body>Blocked</body></html>"),
    "outage of a proxy": Page(503, "<html><body>No route<br></body></html>"),
    "empty": Page(200, "", "text/plain"),
    "other JSON": Page(200, "{}", "application/json"),
}
"""Each makes botocore's parser do something else."""


@contextmanager
def not_aws(page: Page) -> Iterator[str]:
    """Run a server, and return its URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(page.status)
            self.send_header("Content-Type", page.kind)
            self.send_header("Content-Length", str(len(page.body)))
            self.end_headers()
            self.wfile.write(page.body.encode())

        do_GET = do_POST  # noqa: N815  the name that http.server calls

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
