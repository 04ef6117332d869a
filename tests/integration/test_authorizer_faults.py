"""A back end that gives no answer, a bad one or a late one: nobody is admitted, refused or delayed by mistake."""

from __future__ import annotations

import asyncio
import socket
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
import pytest

from tests.integration.authorizer_backend import FAULTS
from tests.integration.authorizer_chain import (
    backend_process,
    by_cookie,
    is_told_to_come_back,
    opened,
    seen,
    wait_until_seen,
)
from tests.integration.chain import Chain, service
from tests.integration.process import DEADLINE


@contextmanager
def hanging_requests(chain: Chain, backend: str, count: int) -> Iterator[list[Future[httpx.Response]]]:
    """Make requests with different credentials, for which the back end hangs, and wait until it got as many as it can.

    The service has 64 places.
    """
    name = f"hang.{uuid.uuid4().hex}"
    with (
        httpx.Client(timeout=DEADLINE, trust_env=False, limits=httpx.Limits(max_connections=None)) as client,
        ThreadPoolExecutor(count) as threads,
    ):
        requests = [
            threads.submit(client.get, f"{chain.url}/events", headers=by_cookie(f"{name}.{number}"))
            for number in range(count)
        ]
        wait_until_seen(backend, name, min(count, 64))
        yield requests


@pytest.mark.parametrize("fault", FAULTS)
def test_an_answer_that_says_nothing_is_overload_and_never_a_401(asking: Chain, backend: str, fault: str) -> None:
    began = time.monotonic()
    assert is_told_to_come_back(asking, by_cookie(fault))
    assert time.monotonic() - began < 50  # two requests of 2 s; the slow back end takes 30 s for each
    ready = asking.get("/readyz")
    assert ready.status_code == 503
    assert ready.json()["dependencies"]["authorizer"].startswith("unavailable: it ")
    assert asking.get("/healthz").status_code == 200
    assert not [each for each in seen(backend, "sse-service") if each["path"] != "/push-user"]
    # The next good answer ends it.
    assert opened(asking, by_cookie(f"after-{fault}")) == 200
    assert asking.get("/readyz").json()["dependencies"]["authorizer"] == "ok"


def test_a_request_that_the_back_end_cannot_read_is_overload_and_does_not_make_the_service_unready(
    backend: str, queue: str
) -> None:
    with service(queue, authorizer_url=backend, log_level="info") as chain:
        for who in ("bad-request", "too-large.1", "too-large.2"):
            assert is_told_to_come_back(chain, by_cookie(who))
            ready = chain.get("/readyz")
            assert ready.status_code == 200
            assert ready.json()["dependencies"]["authorizer"] == "ok"
        opened(chain, by_cookie("hang-up"))
        chain.process.wait_for("the authorizer did not answer")
        lines = [line for line in chain.process.output.splitlines() if "the authorizer " in line]
        assert [line.partition("the authorizer ")[2].partition(":")[0] for line in lines] == [
            "answered 400 to a request",
            "answered 431 to a request",
            "did not answer",
        ]
        assert "16 KiB" in lines[1]


def test_the_log_says_once_what_to_mend(backend: str, queue: str) -> None:
    with service(queue, authorizer_url=backend, log_level="info") as chain:
        for who in ("redirect.1", "redirect.2", "html.1", "html.2", "redirect.3", "good", "redirect.4", "good2"):
            opened(chain, by_cookie(who))
        chain.process.wait_for("the authorizer answers again, after")
        lines = [line for line in chain.process.output.splitlines() if "the authorizer " in line]
        assert [line.partition("the authorizer ")[2].split(",")[0] for line in lines] == [
            "answered 302: it must answer 401 to a request that is not signed in",
            "answered 200 without JSON: it must answer 401 to a request that is not signed in",
            "answers again",
        ]
        assert chain.metric('sse_authorizer_answers_total{answer="failed"}') == 6
        assert chain.metric('sse_authorizer_answers_total{answer="user"}') == 2
        assert chain.metric("sse_authorizer_seconds_count") == 8
        assert "redirect.1" not in chain.process.output


# A busy machine may need longer than the 2 s for which a request hangs. So these two tests may try again.


def test_a_back_end_that_hangs_delays_nobody_who_has_a_token(asking: Chain, backend: str) -> None:
    for _ in range(5):
        with hanging_requests(asking, backend, 100) as hanging:
            with asking.stream("with-a-token"):
                in_time = not any(each.done() for each in hanging)
            assert {each.result().status_code for each in hanging} == {503}
        if in_time:
            return
    raise AssertionError("the stream did not open while the others waited")


def test_a_slow_answer_delays_no_other_credential(asking: Chain, backend: str) -> None:
    for attempt in range(5):
        with hanging_requests(asking, backend, 20) as hanging:
            assert opened(asking, by_cookie(f"quick.{attempt}")) == 200
            if not any(each.done() for each in hanging):
                return
    raise AssertionError("the stream did not open while the others waited")


def test_a_storm_of_one_credential_is_one_request_to_the_back_end(asking: Chain, backend: str) -> None:
    address = urlsplit(asking.url)

    async def client() -> bool:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        try:
            writer.write(b"GET /events HTTP/1.1\r\nHost: x\r\nCookie: as=slow.storm\r\n\r\n")
            return b"stream.ready" in await reader.readuntil(b"stream.ready")
        finally:
            writer.transport.abort()

    async def storm() -> list[bool]:
        async with asyncio.timeout(DEADLINE):
            return await asyncio.gather(*(client() for _ in range(500)))

    assert all(asyncio.run(storm()))
    assert len(seen(backend, "slow.storm")) == 1


def test_a_client_that_leaves_does_not_end_the_request_that_others_wait_for(asking: Chain, backend: str) -> None:
    address = urlsplit(asking.url)
    with socket.create_connection((address.hostname, address.port)) as leaving:
        leaving.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\nCookie: as=slow.shared\r\n\r\n")
        wait_until_seen(backend, "slow.shared")
        with ThreadPoolExecutor(1) as threads:
            staying = threads.submit(opened, asking, by_cookie("slow.shared"))
            leaving.close()
            assert staying.result() == 200
    assert len(seen(backend, "slow.shared")) == 1


def test_a_back_end_that_was_away_is_asked_again_without_a_restart(queue: str) -> None:
    with backend_process() as (process, url), service(queue, authorizer_url=url) as chain:
        assert opened(chain, by_cookie("known")) == 200
        process.__exit__()
        assert is_told_to_come_back(chain, by_cookie("unknown"))
        assert chain.get("/readyz").json()["dependencies"]["authorizer"] == (
            "unavailable: it did not answer: it cannot be reached"
        )
        assert chain.get("/healthz").status_code == 200
        assert opened(chain, by_cookie("known")) == 200
        with backend_process(urlsplit(url).port or 0):
            assert opened(chain, by_cookie("unknown")) == 200
            assert chain.get("/readyz").status_code == 200
        assert len(chain.process.wait_for(r"the authorizer answers again, after \d+\.\d s")[0]) > 0


def test_a_service_whose_back_end_is_away_starts(queue: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with service(queue, authorizer_url=f"http://127.0.0.1:{port}", jwt_secret="") as chain:
        assert is_told_to_come_back(chain, by_cookie("42"))
        with backend_process(port):
            assert opened(chain, by_cookie("42")) == 200
