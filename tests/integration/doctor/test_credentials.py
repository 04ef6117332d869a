"""What `doctor` says of the credentials and the clock, by STS's answer."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable
from email.utils import formatdate
from time import time

import pytest

from tests.integration.doctor.deployment import Output
from tests.ports import free_port


class _STS(http.server.BaseHTTPRequestHandler):
    """Refuses every call. Its clock may be ahead."""

    code = "InvalidClientTokenId"
    ahead = 0.0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = f"<ErrorResponse><Error><Code>{self.code}</Code><Message>no</Message></Error></ErrorResponse>".encode()
        self.send_response_only(403)
        self.send_header("Date", formatdate(time() + self.ahead, usegmt=True))
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def test_refused_credentials_and_a_wrong_clock_fail(
    doctor: Callable[..., Output], monkeypatch: pytest.MonkeyPatch
) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _STS) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            said = doctor(AWS_ENDPOINT_URL_STS=url)
            assert "InvalidClientTokenId" in said.at("FAIL")["credentials"]
            assert set(said.at("FAIL")) == {"credentials"}
            monkeypatch.setattr(_STS, "code", "SignatureDoesNotMatch")
            monkeypatch.setattr(_STS, "ahead", 3600)
            said = doctor(AWS_ENDPOINT_URL_STS=url)
            assert "behind AWS's" in said.at("FAIL")["clock"]
            assert "3600 s" in said.at("FAIL")["clock"] or "3599 s" in said.at("FAIL")["clock"]
        finally:
            server.shutdown()
            thread.join()


def test_no_answer_of_sts_is_a_warning(doctor: Callable[..., Output]) -> None:
    said = doctor(AWS_ENDPOINT_URL_STS=f"http://127.0.0.1:{free_port()}")
    assert said.status == 0, said.text
    assert set(said.at("warn")) == {"credentials"}
    assert "clock" in said.at("ok")
