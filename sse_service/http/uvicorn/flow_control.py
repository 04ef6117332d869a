"""Whether a connection may be written to, and whether it is read."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.flow_control import FlowControl


class LeanFlowControl(FlowControl):
    """Flow control as uvicorn's, except that it has an Event only while writing is paused: one takes 700 bytes."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.read_paused = self.write_paused = False
        self._writable: asyncio.Event | None = None

    async def drain(self) -> None:
        """Wait until writing goes on."""
        if self._writable is not None:
            await self._writable.wait()

    def pause_writing(self) -> None:
        """Let ``drain`` wait."""
        if not self.write_paused:
            self.write_paused, self._writable = True, asyncio.Event()

    def resume_writing(self) -> None:
        """Let ``drain`` return."""
        if self._writable is not None:
            self._writable.set()
        self.write_paused, self._writable = False, None
