"""The target of an attack, and its report."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import httpx

from sse_service.auth.tokens.signing import TokenSigner
from tests.faults.raw_clients import Peer
from tests.integration.chain import SECRET
from tests.integration.process import DEADLINE


@dataclass(kw_only=True)
class Target:
    """The attacked service, and the strength of the attack."""

    port: int
    queue: str
    """URL of the stub of SQS."""
    seconds: float
    scale: float
    """1 is the full number of connections."""
    random: random.Random
    signer: TokenSigner = field(default_factory=lambda: TokenSigner(secret=SECRET))

    def count(self, full: int) -> int:
        return max(int(full * self.scale), 1)

    def token(self, user: str) -> str:
        return self.signer.sign(user, ttl_seconds=86_400)

    async def publish(self, events: Iterable[tuple[str, str]]) -> None:
        """Put events, each a user and a text, into the queue."""
        put = [
            {"body": text, "attributes": {"user_id": {"DataType": "String", "StringValue": user}}}
            for user, text in events
        ]
        async with httpx.AsyncClient(trust_env=False, timeout=DEADLINE) as http:
            for start in range(0, len(put), 500):
                (await http.post(f"{self.queue}/put", json=put[start : start + 500])).raise_for_status()


@dataclass
class Outcome:
    """The report of an attack: what was sent, how the service answered, and what was wrong."""

    name: str
    sent: str = ""
    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def begin(self) -> None:
        """Report that the preparation is finished and the attack begins."""
        print(f"begin {self.name}", flush=True)

    def expect(self, *answers: str) -> None:
        """Count any other answer as wrong."""
        for answer, count in self.answers.items():
            if answer not in answers:
                self.wrong.append(f"{count} x {answer} where {' or '.join(answers)} was expected")

    def note(self, peers: Iterable[Peer]) -> None:
        """Count the answers that these peers got."""
        self.answers.update(peer.answer for peer in peers)

    @property
    def line(self) -> str:
        return json.dumps(self.__dict__)

    @classmethod
    def read(cls, line: str) -> Outcome:
        given: dict[str, Any] = json.loads(line)
        return cls(**{**given, "answers": Counter(given["answers"])})


Attack = Callable[[Target, Outcome], Awaitable[None]]


async def paced(rate: float, seconds: float) -> AsyncIterator[int]:
    """Count from 0 at an average rate, even if the task is woken late."""
    began, number = time.monotonic(), 0
    while (gone := time.monotonic() - began) < seconds:
        while number < gone * rate:
            yield number
            number += 1
        await asyncio.sleep(0.01)


async def all_ended(peers: Iterable[Peer], seconds: float) -> list[Peer]:
    """Wait for the service to end the connections. Return those that it did not end."""
    waiting = list(peers)
    ended = await asyncio.gather(*(peer.ended(seconds) for peer in waiting))
    return [peer for peer, over in zip(waiting, ended, strict=True) if not over]
