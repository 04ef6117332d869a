"""A stand-in for the endpoint of a region's keys, without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from sse_service.auth.outbound.fetch import FetchError
from tests.integration.load_balancer import pem

URL = "https://keys.example.com/"


class Endpoint:
    """The endpoint of a region's keys."""

    def __init__(self, keys: Mapping[str, PrivateKeyTypes]) -> None:
        self.keys = {kid: pem(key) for kid, key in keys.items()}
        self.asked: list[str] = []
        self.away = False
        self.fault: Exception | None = None
        """What no endpoint should make the client raise."""
        self.gate = asyncio.Event()
        self.gate.set()

    async def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        if self.away:
            raise FetchError("keys.example.com", "it cannot be reached")
        kid = url.removeprefix(URL)
        if kid not in self.keys:
            raise FetchError("keys.example.com", "it answered 403", status=403)
        return self.keys[kid]
