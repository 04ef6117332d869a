"""Whatever fails between the service and the back end, no secret comes into a log, a page or an answer."""

from __future__ import annotations

import asyncio
import base64
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sse_service.doctor.authorizer import check_authorizer
from sse_service.doctor.report import Level
from sse_service.settings.settings import Settings
from tests.integration.authorizer_chain import EVENT_STREAM
from tests.integration.chain import Chain, environment, queue_stub, serve, wait_until_ready
from tests.integration.repeating_backend import ANSWERS, repeating_backend
from tests.ports import free_port

COOKIE, AUTHORIZATION, QUERY, PASSWORD = "marked-cookie", "marked-authorization", "marked-query", "marked-password"
PROXY_AUTHORIZATION = base64.b64encode(f"user:{PASSWORD}".encode()).decode()
SECRETS = (COOKIE, AUTHORIZATION, QUERY, PASSWORD, PROXY_AUTHORIZATION)

CANNOT_CONNECT, NOT_VALID = "the proxy does not connect to it", "its URL, or that of the proxy, is not valid"
UNREACHABLE = [
    ("http://127.0.0.1:{closed}/who", "", "it cannot be reached"),
    ("https://127.0.0.1:{open}/who", "", "the TLS handshake failed"),
    ("http://backend.invalid/who", "", "its name cannot be looked up"),
    ("http://backend.invalid/who", "http://user:{password}@127.0.0.1:{open}", "the proxy wants a password"),
    ("https://backend.invalid/who", "http://user:{password}@127.0.0.1:{open}", CANNOT_CONNECT),
    ("https://backend.invalid/who", "http://user:{password}@127.0.0.1:{closed}", CANNOT_CONNECT),
    ("https://backend.invalid/who", "https://user:{password}@127.0.0.1:{open}", "the TLS handshake failed"),
    ("https://backend.invalid/who", "user:{password}@127.0.0.1:{open}", NOT_VALID),
    ("https://backend.invalid/who", "http://user:{password}@127.0.0.1:port", NOT_VALID),
    ("https://backend.invalid/who", "socks5://user:{password}@127.0.0.1:{open}", CANNOT_CONNECT),
]
"""The URL of a back end and of a proxy, and what is told. Whatever listens at ``open`` is no TLS server, refuses the
password, and repeats it."""


@pytest.fixture(scope="module")
def repeating() -> Iterator[int]:
    with repeating_backend() as port:
        yield port


def proxies(url: str) -> dict[str, str]:
    """Return the environment that names the proxy, and nothing else. The queue is asked directly."""
    named = {"HTTP_PROXY": url, "HTTPS_PROXY": url, "ALL_PROXY": "", "NO_PROXY": "127.0.0.1" if url else ""}
    # The names in lower case win, even if they are empty.
    return named | {name.lower(): value for name, value in named.items()}


@contextmanager
def asking_service(url: str, *, proxy: str = "") -> Iterator[Chain]:
    """Run a service that asks at this URL, perhaps through a proxy."""
    with (
        queue_stub() as queue,
        serve(queue, {**environment(queue, authorizer_url=url), **proxies(proxy)}) as chain,
    ):
        wait_until_ready(chain)
        yield chain


def shown_for(chain: Chain, answer: str = "") -> str:
    """Make a request that fails, and return all that is shown afterwards."""
    headers = {"Cookie": f"s={COOKIE}; answer={answer}.", "Authorization": f"App {AUTHORIZATION}"}
    pages = []
    for each in (headers, {**headers, **EVENT_STREAM}):
        # One that is admitted would never end, so it is not read.
        with chain.client.stream("GET", f"{chain.url}/events", headers=each) as response:
            assert response.status_code == (200 if "Accept" in each else 503)
            pages.append(f"{response.headers}\n{response.read().decode()}")
    pages.append(chain.get("/readyz").text)
    pages += [chain.client.get(f"{chain.admin}{path}").text for path in ("/", "/metrics")]
    return "\n".join(pages)


def log_of(chain: Chain) -> str:
    """End the service, so that all of its log has been read."""
    chain.process.signal(signal.SIGTERM)
    assert chain.process.wait() == 0
    return chain.process.output


def secrets_in(text: str) -> list[str]:
    return [line for line in text.splitlines() if any(secret in line for secret in SECRETS)]


def test_answers_that_repeat_the_request_show_no_secret(repeating: int) -> None:
    with asking_service(f"http://127.0.0.1:{repeating}/who?key={QUERY}") as chain:
        for answer in ANSWERS:
            assert not secrets_in(shown_for(chain, answer)), answer
        assert chain.metric('sse_authorizer_answers_total{answer="failed"}') == 2 * len(ANSWERS)
        log = log_of(chain)
    assert log.count("the authorizer ") == 2 * len(ANSWERS)
    assert not secrets_in(log)


@pytest.mark.parametrize(("url", "proxy", "told"), UNREACHABLE)
def test_a_back_end_or_a_proxy_that_cannot_be_asked_shows_no_secret(
    repeating: int, url: str, proxy: str, told: str
) -> None:
    filled = [each.format(open=repeating, closed=free_port(), password=PASSWORD) for each in (url, proxy)]
    with asking_service(f"{filled[0]}?key={QUERY}", proxy=filled[1]) as chain:
        assert not secrets_in(shown_for(chain))
        log = log_of(chain)
    assert told in log
    assert not secrets_in(log)


def test_doctor_shows_no_secret_whatever_the_answer(
    repeating: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cases = [(f"http://127.0.0.1:{repeating}/who?answer={name}.", "", "") for name in ANSWERS]
    cases += [(f"{url}?", proxy, told) for url, proxy, told in UNREACHABLE]
    for url, proxy, told in cases:
        filled = [each.format(open=repeating, closed=free_port(), password=PASSWORD) for each in (url, proxy)]
        for name, value in proxies(filled[1]).items():
            monkeypatch.setenv(name, value)
        [found] = asyncio.run(check_authorizer(Settings(authorizer_url=f"{filled[0]}&key={QUERY}")))
        assert found.level is Level.FAIL
        assert told in found.line
        assert not secrets_in(found.line)
    assert not secrets_in(caplog.text)
