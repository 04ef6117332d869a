"""The service as a process that is killed, stopped and started again behind the site."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import httpx

from tests.e2e.client.site import Site
from tests.integration.chain import Chain, queue_stub, service
from tests.integration.process import DEADLINE
from tests.integration.valkey import Valkey


class Service:
    """Runs ``sse-service serve``, and leads the site to it."""

    def __init__(self, *, queue: str, inbox: str, site: Site, **settings: str) -> None:
        self._queue = queue
        self._inbox = inbox
        self._settings = settings
        self._site = site
        self._stack = ExitStack()
        self._numbers = 0
        self.chain: Chain

    def start(self) -> None:
        settings = {"heartbeat_seconds": "1", "opens_per_second": "0", **self._settings}
        self.chain = self._stack.enter_context(service(self._queue, **settings))
        self._site.upstream = int(self.chain.url.rpartition(":")[2])

    def kill(self) -> None:
        self.chain.process.signal(signal.SIGKILL)
        self._stack.close()

    def drain(self) -> None:
        """End as in a deploy."""
        self.chain.process.signal(signal.SIGTERM)
        assert self.chain.process.wait() == 0
        self._stack.close()

    def freeze(self) -> None:
        self.chain.process.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.chain.process.signal(signal.SIGCONT)

    def publish(self, user: str, *data: str) -> None:
        """Put events for this user into the queue. The service may be down."""
        self._site.published += data
        for text in data:
            self._numbers += 1
            named = {"user_id": user, "event_type": "step", "event_id": f"event {self._numbers}"}
            attributes = {name: {"DataType": "String", "StringValue": value} for name, value in named.items()}
            put = httpx.post(f"{self._inbox}/put", json={"body": text, "attributes": attributes}, trust_env=False)
            put.raise_for_status()


@contextmanager
def running(site: Site) -> Iterator[Service]:
    """Run a service whose history survives it.

    Another task, which is never killed, reads the queue: the messages that a killed one holds come late, and out of
    order.
    """
    with (
        Valkey() as valkey,
        queue_stub() as inbox,
        queue_stub() as queue,
        service(inbox, broker_url=valkey.url),
        _ending(Service(queue=queue, inbox=inbox, site=site, broker_url=valkey.url)) as found,
    ):
        yield found


@contextmanager
def running_forgetful(site: Site) -> Iterator[Service]:
    """Run a service that loses its history with its process."""
    upstream = site.upstream
    with queue_stub() as queue, _ending(Service(queue=queue, inbox=queue, site=site)) as found:
        yield found
    site.upstream = upstream


@contextmanager
def _ending(found: Service) -> Iterator[Service]:
    found.start()
    try:
        yield found
    finally:
        found.thaw()
        found.kill()


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen: {what}"
        time.sleep(0.02)
