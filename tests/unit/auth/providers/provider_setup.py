"""A Provider whose issuer answers as a test says, on a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from sse_service.auth.outbound.fetch import FetchError
from sse_service.auth.providers.discovery import FetchedKeys
from sse_service.auth.providers.key_set import read_keys
from sse_service.auth.providers.provider import Provider, Timing
from sse_service.model.errors import InvalidToken, Overloaded
from sse_service.model.reasons import RefusalReason
from tests.integration.process import DEADLINE
from tests.unit.auth.providers.signing_keys import ISSUER, SigningKey
from tests.unit.task import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

OLD, NEW = SigningKey("old", number=0), SigningKey("new", number=1)
AWAY = FetchError("login.example.com", "it cannot be reached")
AT_ONCE = Timing(shortest=0, pause_without_keys=0, pause_with_keys=0)


def key_set(*keys: SigningKey, max_age: int | None = None) -> FetchedKeys:
    return FetchedKeys(read_keys({"keys": [key.jwk for key in keys]}, algorithms=["RS256", "ES256"]), max_age)


class Setup:
    """A provider, the answers of its issuer, and a clock that the test moves."""

    def __init__(self, *answers: FetchedKeys | Exception, timing: Timing | None = None) -> None:
        """The last answer is given again and again."""
        self.answers = list(answers)
        self.fetches = 0
        self.now = 1000.0
        self.gate = asyncio.Event()
        """While it is not set, a fetch does not end."""
        self.gate.set()
        self.provider = Provider(
            issuer=ISSUER, issuer_setting="SSE_OIDC_ISSUERS", fetch=self._fetch, timing=timing, clock=lambda: self.now
        )

    async def _fetch(self) -> FetchedKeys:
        self.fetches += 1
        await self.gate.wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the provider. The first fetch has ended."""
        task = asyncio.create_task(self.provider.run())
        try:
            await wait_until(lambda: self.fetches > 0)
            await turns()
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def find(self, kid: str | None, algorithm: str = "RS256") -> str:
        """Return what a request with this kid gets."""
        try:
            keys = await self.provider.find(kid, algorithm)
        except InvalidToken as error:
            return str(error) or "invalid"
        except Overloaded as error:
            return "overloaded" if error.reason is RefusalReason.IDENTITY else error.reason
        return ",".join(str(key.key_id) for key in keys)


async def turns(count: int = 5) -> None:
    """Let the event loop run everything that is ready."""
    for _ in range(count):
        await asyncio.sleep(0)


def run(body: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(body(), DEADLINE))
