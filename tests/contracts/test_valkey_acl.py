"""The documented ACL rules are sufficient, and each of them is necessary."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress

import pytest
import redis

from sse_service.brokers.base import Entry
from sse_service.brokers.valkey import connections, listener, prober
from sse_service.brokers.valkey.broker import ValkeyBroker
from sse_service.brokers.valkey.requirements import ACL_RULES, COMMANDS, NO_PERMISSION
from sse_service.model.errors import Unavailable
from sse_service.model.revocations import Revocation
from sse_service.telemetry.metrics import Metrics
from tests.contracts.harness import route
from tests.integration.until import until
from tests.integration.valkey import Valkey
from tests.unit.task import no_revocations

OPTIONAL = ("ping", "client|setinfo")
"""``doctor`` sends the first, and redis-py works without the second."""


class RestrictedStore:
    """A broker on database 1 of an empty server, whose user has the ACL rules with ``changes``."""

    def __init__(self, server: Valkey, admin: redis.Redis, *changes: str) -> None:
        admin.flushall()
        admin.script_flush()
        admin.execute_command("ACL", "SETUSER", "sse", "reset", "on", ">password", *ACL_RULES.split(), *changes)
        self._admin = admin
        self.live: list[Entry] = []
        self.broker = ValkeyBroker(
            url=f"redis://sse:password@127.0.0.1:{server.port}/1",
            listener=self.live.extend,
            on_lost=lambda _: None,
            metrics=Metrics(),
            history_events=2,
            history_bytes=20_000,
            max_dedupe_keys=2,
            **no_revocations(),
        )

    async def use(self) -> None:
        """Make the broker send all its commands."""
        await self.broker.check()
        await until(lambda: self.broker.trouble is None)
        await self.broker.subscribe(["user:1"])
        before = await self.broker.position()
        # More events than a channel keeps, more dedupe keys than one generation, more bytes than all channels may take.
        await self.broker.publish([route(str(number)) for number in range(4)])
        await self.broker.publish([route(f"other {number}", f"user:{number}", data="x" * 9_000) for number in (2, 3)])
        # Only the newest event's channel is left, and it is too large.
        await self.broker.publish([route(f"large {number}", data="x" * 9_000) for number in range(2)])
        await self.broker.replay(["user:1", "user:3"], before, 10)
        await self.broker.revoke([Revocation("user:1", 1, 2**40)])
        # Without its metadata, the store removes the histories that it knows, and scans for others.
        self._admin.delete("{sse}:book")
        await self.broker.publish([route("new")])
        await until(lambda: self.live and self.live[-1].event.id == "new")
        self.broker.unsubscribe("user:1")
        await until(lambda: not self._admin.pubsub_numsub("{sse}:1:live:user:1")[0][1])


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(listener, "LINGER_SECONDS", 0)
    monkeypatch.setattr(listener, "EXPIRE_SECONDS", 0.05)
    monkeypatch.setattr(prober, "PROBE_SECONDS", 0.02)


@pytest.fixture
def admin(server: Valkey) -> Iterator[redis.Redis]:
    with redis.Redis(port=server.port, db=1, decode_responses=True) as connected:
        yield connected
        connected.execute_command("ACL", "DELUSER", "sse")


@asynccontextmanager
async def running(store: RestrictedStore) -> AsyncIterator[None]:
    task = asyncio.create_task(store.broker.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("changes", [(), tuple(f"-{command}" for command in OPTIONAL)])
def test_a_user_with_the_acl_rules_can_do_everything(
    server: Valkey, admin: redis.Redis, changes: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        store = RestrictedStore(server, admin, *changes)
        async with running(store):
            await store.use()

    asyncio.run(test())
    assert "permission" not in caplog.text
    denied = admin.execute_command("ACL", "LOG")
    assert {entry["object"] for entry in denied if entry["username"] == "sse"} <= set(OPTIONAL)


def use_until(store: RestrictedStore, logged: Callable[[], bool]) -> None:
    """Use the store until the expected line is in the log."""

    async def use_forever() -> None:
        while True:
            with suppress(Unavailable, AssertionError):
                await store.use()

    async def test() -> None:
        async with running(store):
            using = asyncio.create_task(use_forever())
            await until(logged)
            using.cancel()
            await asyncio.wait([using])

    asyncio.run(test())


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("command", [command for command in COMMANDS if command not in OPTIONAL])
def test_the_log_names_a_forbidden_command_and_the_acl_rules(
    server: Valkey, admin: redis.Redis, command: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = RestrictedStore(server, admin, f"-{command}")
    use_until(store, lambda: f"run the '{command}' command" in caplog.text)
    (line, *_) = [record.getMessage() for record in caplog.records if f"'{command}'" in record.getMessage()]
    assert line.startswith("Valkey ")
    assert line.endswith(f"Give the user these rights with ACL SETUSER: {ACL_RULES}")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("change", "text"), [("resetkeys", "access a key"), ("resetchannels", "access a channel")])
def test_the_log_reports_forbidden_keys_and_channels(
    server: Valkey, admin: redis.Redis, change: str, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = RestrictedStore(server, admin, change)
    # The line may come from an exchange that the task makes while it connects.
    use_until(store, lambda: text in caplog.text and store.broker.trouble == NO_PERMISSION)
    assert ACL_RULES in caplog.text


@pytest.mark.usefixtures("quick")
def test_losing_a_permission_while_running_is_trouble_that_names_no_user(
    server: Valkey, admin: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        store = RestrictedStore(server, admin)
        async with running(store):
            await until(lambda: store.broker.trouble is None)
            await store.broker.publish([route("a")])
            admin.execute_command("ACL", "SETUSER", "sse", "-xrange")
            with pytest.raises(Unavailable, match=f"^{NO_PERMISSION}$"):
                await store.broker.replay(["user:1"], None, 10)
            assert store.broker.trouble == NO_PERMISSION
            admin.execute_command("ACL", "SETUSER", "sse", "+xrange")
            await store.broker.replay(["user:1"], None, 10)
            assert store.broker.trouble is None

    asyncio.run(test())
    assert "Valkey could not read events: " in caplog.text
