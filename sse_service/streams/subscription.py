"""One client's bounded view of its channels: live or replaying, offering Frames to its Sink."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sse_service.protocols.sse import frames
from sse_service.streams.backlog import Backlog
from sse_service.streams.possible_losses import PossibleLosses

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sse_service.brokers.base import PossibleLoss
    from sse_service.model.cursor import Cursor
    from sse_service.model.principal import Principal
    from sse_service.model.reasons import CloseReason
    from sse_service.protocols.sse.frames import Frame
    from sse_service.streams.backlog import QueueLimits
    from sse_service.streams.filter import Filter
    from sse_service.streams.sink import Sink
    from sse_service.streams.start import Start


class Subscription:
    """Takes each of its events once, in the broker's order.

    *Live*, a Frame is written as it is offered, or queued while the Sink holds back. *Replaying*, only the newest
    offset offered is noted: the catch-up reads everything from History, and joins live when it has reached that.
    """

    __slots__ = (
        *("_backlog", "_doubts", "_lost", "_noted", "_on_behind", "_unwritten", "channels", "close_reason"),
        *("closed", "ends_at", "fresh", "held", "joined", "last", "last_id", "limits", "live", "narrowing"),
        *("opened_at", "principal", "replayed_events", "silent_seconds", "sink", "start", "waiting"),
    )

    def __init__(
        self,
        *,
        sink: Sink,
        principal: Principal,
        channels: Sequence[str],
        start: Start,
        narrowing: Filter | None,
        limits: QueueLimits,
        on_behind: Callable[[Subscription], None],
        ends_at: float,
    ) -> None:
        """``on_behind`` is called when this must be caught up and its Sink takes more."""
        self.sink = sink
        sink.on_writable = self._writable
        self.principal = principal
        self.channels = tuple(channels)
        self.start: Start | None = start
        """Where the client wants to begin; None once it was told."""
        self.narrowing = narrowing
        self.limits = limits
        self._on_behind = on_behind
        self.opened_at = time.monotonic()
        self.ends_at = ends_at
        """Monotonic seconds at which it has its greatest age."""
        self.live = False
        """Whether everything offered was written or queued; else it is replaying, or closed."""
        self.closed = False
        """Whether the stream is over, or the server has ended it."""
        self._backlog: Backlog | None = None
        # Offered for later, and not written yet: the first in order, what follows is queued.
        self._unwritten: Frame | None = None
        # Newest position offered while replaying.
        self._noted: Cursor | None = None
        # Whether something may have been lost since the catch-up began to read its page.
        self._lost = False
        self.last: Cursor | None = None
        """All of this stream's events at or below were written or queued."""
        self._doubts = PossibleLosses()
        self.joined = 0
        """Where it last joined live: what is offered at or below is the overlap of replay and live."""
        self.last_id = 0
        """Offset of the last id written."""
        self.replayed_events = 0
        """Entries read from History since it was last live."""
        self.held = False
        """Whether the Sink holds back."""
        self.waiting = False
        """Whether the catch-up has this in its queue or in hand."""
        self.fresh = True
        """Whether anything was written since the timer last looked."""
        self.silent_seconds = 0.0
        """How long nothing was written, as the timer counts it."""
        self.close_reason: CloseReason | None = None

    @property
    def idle(self) -> bool:
        """Live, with nothing queued: a position may be told."""
        return self.live and not self.held and self._unwritten is None

    def offer(self, frame: Frame, *, later: bool = False) -> bool:
        """Take one live Frame; never waits, raises nothing. True: it is written when ``flush`` is called, as asked."""
        last = self.last
        if not self.live or last is None:
            self._note(frame.cursor)
            return False
        if frame.offset <= last.offset or frame.cursor.epoch != last.epoch:
            self._offered_anew(frame.cursor, last)
            return False
        if self._unwritten is not None and not later:
            # Rather than wait for the crowd's turn behind what was offered first
            self.flush()
        if self.narrowing is not None and not self.narrowing.wants(frame):
            self.last = frame.cursor
        elif self.held or self._unwritten is not None:
            self._enqueue(frame)
        elif later:
            self.last = frame.cursor
            self._unwritten = frame
            return True
        else:
            # As _write_frame does, which would be one more call for each stream of a crowd
            self.last = frame.cursor
            self.last_id = frame.offset
            self.fresh = True
            if not self.sink.write(frame.chunk):
                self.held = True
        return False

    def _offered_anew(self, cursor: Cursor, last: Cursor) -> None:
        """What was offered before comes by a second channel, or in the overlap of replay and live; else order broke."""
        another_life = cursor.epoch != last.epoch
        if another_life or cursor.offset > self.joined:
            self.fall_behind()
            self._note(cursor)

    def _enqueue(self, frame: Frame) -> None:
        if self._backlog is None:
            self._backlog = Backlog(self.limits)
        if self._backlog.put(frame):
            self.last = frame.cursor
        else:
            self.fall_behind()
            self._note(frame.cursor)

    def flush(self) -> None:
        """Write what was offered for later, and what was queued behind it; never waits, raises nothing."""
        if self.held:
            return
        if (frame := self._unwritten) is not None:
            # Written out as in ``offer``, and for the same reason
            self._unwritten = None
            self.last_id = frame.offset
            self.fresh = True
            if not self.sink.write(frame.chunk):
                self.held = True
        if self._backlog is not None:
            self._write_backlog(self._backlog)

    def replayed(self, frame: Frame) -> bool:
        """Take one Frame from History; False: it was not taken, the Sink holds back or the stream is over."""
        if self.held or self.closed:
            return False
        self.replayed_events += 1
        if self.narrowing is None or self.narrowing.wants(frame):
            self._write_frame(frame)
        self.last = frame.cursor
        return True

    def begin(self, cursor: Cursor) -> None:
        """Be told where the replay begins: after the greeting, or after a gap."""
        self.start = None
        self.last = cursor

    def fall_behind(self, complete: Mapping[str, int] | None = None) -> None:
        """Go on from History; what is queued is written first, and a page in the catch-up's hands is not the last.

        ``complete`` gives channels of which something was lost, and the offset up to which all of it was offered.
        """
        self.flush()
        live, last = self.live, self.last
        self._lost = not live
        if live and last is not None:
            self._doubts.left(last.offset)
        if complete:
            self._doubts.lost(self.channels, complete)
        if live:
            self.live = False
            self._noted = None
            self._ask_for_more()

    def reading(self) -> tuple[PossibleLoss, ...]:
        """Be told that the catch-up reads a page now, in which is whatever was lost before; gives what it must ask."""
        self._lost = False
        return self._doubts.take()

    def unread(self, doubts: tuple[PossibleLoss, ...]) -> None:
        """Be told that the page could not be read."""
        self._doubts.put_back(doubts)

    def join(self, upto: Cursor) -> bool:
        """Go live where the replay has reached all that was offered meanwhile; False: there is more to read."""
        if self.live or self.closed or self._lost:
            return False
        if self._noted is not None and self._noted.epoch != upto.epoch:
            # Of two lives, only another page can tell which is the present one.
            self._noted = None
            return False
        if self._noted is not None and upto.offset < self._noted.offset:
            return False
        self.last = upto
        self.joined = upto.offset
        self._doubts.joined(upto.offset)
        self.live = True
        return True

    def tell(self, block: bytes, cursor: Cursor | None = None) -> None:
        """Write a service event, with the position that its id carries."""
        if self.closed:
            return
        if cursor is not None:
            self.last_id = cursor.offset
        self._write(frames.chunk(block))

    def tell_position(self, block: bytes, cursor: Cursor) -> None:
        """Write the position up to which everything was offered to this stream, which must be idle."""
        self.last = cursor
        self.tell(block, cursor)

    def heartbeat(self) -> None:
        """Write the comment that keeps a silent stream open; it does not count as written."""
        if not self.held and not self.sink.write(_HEARTBEAT):
            self.held = True

    def _writable(self) -> None:
        """The Sink takes more: empty the queue, then go on."""
        self.held = False
        self.flush()
        self._ask_for_more()

    def _write_backlog(self, backlog: Backlog) -> None:
        while backlog and not self.held:
            self._write_frame(backlog.take())
        if not backlog:
            # One that was slow for a moment need not pay for it for hours.
            self._backlog = None

    def close(self, reason: CloseReason, *, reconnect: bool = True, retry_ms: int | None = None) -> None:
        """End the stream with ``stream.close``; what is queued is left to the resume. Idempotent."""
        if self.closed:
            return
        self.flush()
        self.tell(frames.close(reason.value, reconnect=reconnect, retry_ms=retry_ms))
        self._end(reason)

    def cut(self, reason: CloseReason) -> None:
        """End the stream without a word: its reader takes none."""
        if not self.closed:
            self._end(reason)
        self.sink.abort()

    def leave(self) -> None:
        """The client has gone, or the response has ended: take nothing more."""
        self.closed, self.live = True, False
        self._backlog = self._unwritten = None
        self.sink.on_writable = None

    def _end(self, reason: CloseReason) -> None:
        self.closed, self.live = True, False
        self._backlog = self._unwritten = None
        self.close_reason = reason
        self.sink.wake()

    def _note(self, cursor: Cursor) -> None:
        if self._noted is None or self._noted.epoch != cursor.epoch or self._noted.offset < cursor.offset:
            self._noted = cursor

    def _write_frame(self, frame: Frame) -> None:
        self.last_id = frame.offset
        self.fresh = True
        if not self.sink.write(frame.chunk):
            self.held = True

    def _write(self, chunk: bytes) -> None:
        self.fresh = True
        if not self.sink.write(chunk):
            self.held = True

    def _ask_for_more(self) -> None:
        if not (self.live or self.closed or self.held or self.waiting):
            self._on_behind(self)


_HEARTBEAT = frames.chunk(frames.HEARTBEAT)
