"""An HTTP proxy that answers by itself, and tells what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest


@asynccontextmanager
async def proxy(monkeypatch: pytest.MonkeyPatch, answer: bytes) -> AsyncIterator[list[str]]:
    """Run the proxy, and name it in the environment with a password. Yields the heads of the requests that it got."""
    asked: list[str] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        set_proxy(monkeypatch, f"http://user:secret@127.0.0.1:{server.sockets[0].getsockname()[1]}")
        yield asked


def set_proxy(monkeypatch: pytest.MonkeyPatch, url: str, *, no_proxy: str = "") -> None:
    """Name a proxy in the environment, and nothing else."""
    # The names in lower case win.
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (("HTTP_PROXY", url), ("HTTPS_PROXY", url), ("NO_PROXY", no_proxy)):
        monkeypatch.setenv(name, value)
