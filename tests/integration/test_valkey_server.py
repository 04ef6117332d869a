"""Valkey servers with TLS and a password, unreachable at the start, or with an unsuitable configuration."""

from __future__ import annotations

import asyncio
import signal
import socket
import struct
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sse_service.brokers.base import Entry
from sse_service.brokers.valkey import link
from sse_service.brokers.valkey.broker import ValkeyBroker
from sse_service.model.errors import Unavailable
from sse_service.model.events import Event, Route
from sse_service.telemetry.metrics import Metrics
from tests.faults.proxy import Proxy
from tests.integration.chain import AWS, SECRET, Chain, wait_until_ready
from tests.integration.process import DEADLINE, Process
from tests.integration.tls import certificates, tls_proxy
from tests.integration.until import until
from tests.integration.valkey import Valkey
from tests.ports import free_port
from tests.unit.task import no_revocations

PASSWORD = "canary-password"


@pytest.fixture(scope="module")
def locked() -> Iterator[Valkey]:
    with Valkey("--requirepass", PASSWORD) as server:
        yield server


@asynccontextmanager
async def broker(url: str, live: list[Entry] | None = None) -> Any:
    made = ValkeyBroker(
        url=url,
        listener=(live if live is not None else []).extend,
        on_lost=lambda _: None,
        metrics=Metrics(),
        **no_revocations(),
    )
    running = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        running.cancel()
        await asyncio.wait([running], timeout=DEADLINE)
        assert running.cancelled(), running


def test_events_are_published_and_received_over_tls_with_a_password(locked: Valkey, tmp_path: Path) -> None:
    ca, server_file = certificates(tmp_path)
    live: list[Entry] = []

    async def test(port: int) -> None:
        url = f"rediss://:{PASSWORD}@localhost:{port}/0?ssl_ca_certs={ca}"
        async with broker(url, live) as store:
            await until(lambda: store.trouble is None)
            before = await store.position()
            await store.subscribe(["user:1"])
            await store.publish([Route(Event("a", "x"), ("user:1",))])
            await until(lambda: live)
            assert (await store.replay(["user:1"], before, 10)).entries == tuple(live)

    with tls_proxy(locked.port, server_file) as port:
        asyncio.run(test(port))


@pytest.mark.parametrize("query", ["", "?ssl_ca_certs={other}"])
def test_a_certificate_of_an_unknown_authority_is_refused(
    locked: Valkey, tmp_path: Path, query: str, caplog: pytest.LogCaptureFixture
) -> None:
    _, server_file = certificates(tmp_path)
    (tmp_path / "other").mkdir()
    other, _ = certificates(tmp_path / "other")

    async def test(port: int) -> None:
        url = f"rediss://:{PASSWORD}@localhost:{port}/0"
        async with broker(url + query.format(other=other)) as store:
            await until(lambda: store.trouble == "the server's TLS certificate is not trusted")

    with caplog.at_level("DEBUG"), tls_proxy(locked.port, server_file) as port:
        asyncio.run(test(port))
    assert "CERTIFICATE_VERIFY_FAILED" in caplog.text
    assert PASSWORD not in caplog.text


def test_a_name_that_cannot_be_looked_up_is_reported_with_its_setting(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        # RFC 6761 §6.4: no such name exists.
        async with broker("redis://valkey.invalid:6379/0"):
            await until(lambda: "Valkey is away: the name in SSE_BROKER_URL cannot be looked up: " in caplog.text)

    asyncio.run(test())


def test_tls_to_a_server_without_tls_is_reported_with_the_scheme_that_it_needs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(link, "HANDSHAKE_SECONDS", 0.2)
    expected = "the TLS handshake did not complete: a server without TLS needs redis://"

    async def test(server: Valkey) -> None:
        async with broker(f"rediss://127.0.0.1:{server.port}/0") as store:
            await store.check()
            assert store.trouble == expected
            await until(lambda: f"Valkey is away: {expected}" in caplog.text)
            assert store.trouble == expected

    with Valkey() as server:
        asyncio.run(test(server))
    assert "CancelledError" not in caplog.text


def test_tls_to_a_server_that_answers_in_clear_text_is_reported_in_the_same_way() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(2**16)
        writer.write(b"-ERR unknown command\r\n")
        writer.close()

    async def test() -> None:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with broker(f"rediss://127.0.0.1:{port}/0") as store:
                await until(lambda: str(store.trouble).startswith("the TLS handshake did not complete"))

    asyncio.run(test())


def test_a_tls_connection_that_is_refused_is_not_blamed_on_the_handshake() -> None:
    async def test() -> None:
        async with broker(f"rediss://127.0.0.1:{free_port()}/0") as store:
            await until(lambda: store.trouble == "no connection")

    asyncio.run(test())


def test_a_database_number_that_the_server_does_not_have_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    expected = "the server refuses the database number in SSE_BROKER_URL"

    async def test(server: Valkey) -> None:
        async with broker(server.url.removesuffix("/0") + "/99") as store:
            await until(lambda: store.trouble == expected)

    with Valkey() as server:
        asyncio.run(test(server))
    assert f"Valkey is away: {expected}: DB index is out of range" in caplog.text


def test_the_first_connection_is_not_logged_as_a_return(caplog: pytest.LogCaptureFixture) -> None:
    async def test(server: Valkey) -> None:
        async with broker(server.url) as store:
            await store.check()
            await until(lambda: store.trouble is None)
            assert "connected to Valkey" in caplog.text
            assert "Valkey is back" not in caplog.text
            server.kill()
            await until(lambda: store.trouble is not None)
            server.start()
            await until(lambda: store.trouble is None)
            assert "Valkey is back, after" in caplog.text
            assert caplog.text.count("connected to Valkey") == 1

    with caplog.at_level("INFO"), Valkey() as server:
        asyncio.run(test(server))


def test_a_server_that_is_reached_only_after_a_failed_attempt_is_logged_as_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test(server: Valkey) -> None:
        async with broker(server.url) as store:
            await until(lambda: store.trouble == "no connection")
            server.start()
            await until(lambda: store.trouble is None)

    with caplog.at_level("INFO"), Valkey() as server:
        server.kill()
        asyncio.run(test(server))
    assert "Valkey is back, after" in caplog.text
    assert "connected to Valkey" not in caplog.text


@pytest.mark.parametrize("userinfo", ["", ":wrong@", "nobody:wrong@"])
def test_a_wrong_password_is_reported_without_showing_it(
    locked: Valkey, userinfo: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with broker(f"redis://{userinfo}127.0.0.1:{locked.port}/0") as store:
            await until(lambda: store.trouble == "the server refuses the password")

    asyncio.run(test())
    assert "wrong" not in caplog.text.replace("wrong number", "").replace("invalid username", "")


def test_two_databases_of_one_server_do_not_receive_each_others_events() -> None:
    one: list[Entry] = []
    other: list[Entry] = []

    async def test(server: Valkey) -> None:
        url = server.url.removesuffix("/0")
        async with broker(url + "/1", one) as first, broker(url + "/2", other) as second:
            for store in (first, second):
                await until(lambda store=store: store.trouble is None)
                await store.subscribe(["user:1"])
            await first.publish([Route(Event("a", "x"), ("user:1",))])
            await second.publish([Route(Event("a", "x"), ("user:1",))])
            # Probes come in order with events. After a probe, all events that were stored before it have come.
            for store in (first, second):
                here = await store.position()
                await until(lambda store=store, here=here: store.delivered().offset >= here.offset)

    with Valkey() as server:
        asyncio.run(test(server))
    assert one[0].cursor.epoch != other[0].cursor.epoch
    assert (len(one), len(other)) == (1, 1)


def test_a_replica_is_not_used() -> None:
    async def test(url: str) -> None:
        async with broker(url) as store:
            await until(lambda: store.trouble == "the server is a replica")

    with Valkey() as primary, Valkey("--replicaof", f"127.0.0.1 {primary.port}") as replica:
        asyncio.run(test(replica.url))


def test_a_reset_connection_is_reported_without_the_servers_address() -> None:
    reset = struct.pack("ii", 1, 0)

    async def test(server: Valkey) -> None:
        async with Proxy(server.port) as proxy, broker(f"redis://127.0.0.1:{proxy.port}/0") as store:
            await until(lambda: store.trouble is None)
            for pair in proxy._pairs:
                # Closed by a reset, like a firewall or a restarted machine does.
                pair.client.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            proxy.cut(lambda pair: not pair.pushes)
            await until(lambda: store.trouble)
            assert str(proxy.port) not in str(store.trouble)

    with Valkey() as server:
        asyncio.run(test(server))


def test_a_broker_that_is_cancelled_just_as_its_connection_breaks_ends() -> None:
    async def test(server: Valkey) -> None:
        made = ValkeyBroker(
            url=server.url, listener=lambda _: None, on_lost=lambda _: None, metrics=Metrics(), **no_revocations()
        )
        running = asyncio.create_task(made.run())
        await until(lambda: made.trouble is None)
        server.signal(signal.SIGSTOP)
        publishing = asyncio.create_task(made.publish([Route(Event("a", "x"), ("user:1",))]))
        await asyncio.sleep(0)
        server.kill()
        with pytest.raises(Unavailable):
            await publishing
        running.cancel()
        await asyncio.wait([running], timeout=DEADLINE)
        assert running.cancelled(), running

    with Valkey() as server:
        asyncio.run(test(server))


def test_trouble_ends_when_the_server_is_back_even_without_a_publish() -> None:
    async def test(server: Valkey) -> None:
        async with broker(server.url) as store:
            await until(lambda: store.trouble is None)
            before = await store.position()
            server.kill()
            await until(lambda: store.trouble == "no connection")
            with pytest.raises(Unavailable):
                await store.publish([Route(Event("a", "x"), ("user:1",))])
            server.start()
            await until(lambda: store.delivered().offset > before.offset)
            assert store.trouble is None

    with Valkey() as server:
        asyncio.run(test(server))


def test_a_server_that_never_answers_is_logged_with_a_reason(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(link, "CALL_SECONDS", 0.1)

    async def test(port: int) -> None:
        async with broker(f"redis://127.0.0.1:{port}/0") as store:
            await store.check()
            await until(lambda: store.trouble == "no connection")

    # The operating system accepts the connection, but nothing reads from it.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        asyncio.run(test(silent.getsockname()[1]))
    assert not [record.getMessage() for record in caplog.records if record.getMessage().endswith(": ")]


def serve(url: str, queue: str = "http://127.0.0.1:9", **settings: str) -> Process:
    env = {
        **AWS,
        "AWS_ENDPOINT_URL": queue,
        "SSE_QUEUE_URL": f"{queue}/000000000000/events",
        "SSE_JWT_SECRET": SECRET,
        "SSE_BROKER_URL": url,
        "SSE_ADMIN_PORT": "0",
        "SSE_DRAIN_SECONDS": "1",
        "SSE_LOG_LEVEL": "debug",
        "SSE_LOG_FORMAT": "text",
        **settings,
    }
    return Process("sse_service", "serve", "--port", "0", env=env)


@pytest.mark.parametrize(
    ("options", "reason"),
    [(("--maxmemory-policy", "allkeys-lru"), "must be noeviction"), (("--cluster-enabled", "yes"), "cluster mode")],
)
def test_a_server_that_would_lose_events_keeps_the_service_from_starting(options: tuple[str, ...], reason: str) -> None:
    # The default may be above the highest port number.
    with Valkey(*options, "--cluster-port", str(free_port())) as server, serve(server.url) as process:
        assert process.wait() == 2
    (line,) = [line for line in process.output.splitlines() if line.startswith("sse-service:")]
    assert line.startswith("sse-service: SSE_BROKER_URL: the server")
    assert reason in line
    assert "Traceback" not in process.output


def test_the_service_connects_to_a_server_over_tls_with_a_password(locked: Valkey, queue: str, tmp_path: Path) -> None:
    ca, server_file = certificates(tmp_path)
    with (
        tls_proxy(locked.port, server_file) as port,
        serve(f"rediss://localhost:{port}/3?ssl_ca_certs={ca}", queue, SSE_BROKER_PASSWORD=PASSWORD) as process,
    ):
        public = process.wait_for(r"listening on (http://[^\s,]+)")[1]
        admin = process.wait_for(r"metrics on (http://\S+)/metrics")[1]
        chain = Chain(queue=queue, url=public, admin=admin, process=process)
        with chain.client:
            wait_until_ready(chain)
            with chain.stream() as stream:
                chain.put("by tls", user_id="42")
                stream.wait_for("by tls")
    assert PASSWORD not in process.output


def test_tls_files_without_tls_keep_the_service_from_starting_with_a_line_that_names_the_setting() -> None:
    with serve(f"redis://:{PASSWORD}@127.0.0.1:9/0?ssl_ca_certs=/ca.pem") as process:
        status = process.wait()
    assert "Traceback" not in process.output
    assert PASSWORD not in process.output
    assert (status, "SSE_BROKER_URL" in process.output) == (2, True)


def test_a_server_that_is_absent_at_the_start_is_waited_for_and_its_password_is_never_shown(queue: str) -> None:
    server = Valkey("--requirepass", PASSWORD)
    url = f"redis://:{PASSWORD}@127.0.0.1:{server.port}/0"
    with serve(url, queue) as process:
        public = process.wait_for(r"listening on (http://[^\s,]+)")[1]
        admin = process.wait_for(r"metrics on (http://\S+)/metrics")[1]
        chain = Chain(queue=queue, url=public, admin=admin, process=process)
        with chain.client:
            chain.put("early", user_id="42")
            process.wait_for("Valkey is away")
            assert chain.get("/healthz").status_code == 503
            answer = chain.get("/readyz")
            assert answer.status_code == 503
            assert answer.json()["dependencies"]["broker"] == "unavailable: no connection"
            with server, chain.stream(since="all") as stream:
                stream.wait_for("early")
                assert chain.get("/healthz").status_code == 200
                assert chain.get("/readyz").json()["dependencies"] == {"consumer": "ok", "broker": "ok"}
            process.wait_for("Valkey is away: .*(refused|closed|reset|Connect)")
            # Once the task was ready, an outage of the store is no reason to replace it.
            assert chain.get("/healthz").status_code == 200
            assert chain.get("/readyz").status_code == 503
    assert PASSWORD not in process.output
    assert "Traceback" not in process.output
