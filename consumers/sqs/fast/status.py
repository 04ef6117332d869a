"""Whether the fast path is in use, for the metric and the log."""

from __future__ import annotations

import logging

OPERATIONS = ("ReceiveMessage", "DeleteMessageBatch")
"""The operations that have a fast path."""

TURNED_OFF = "turned off by the setting"

MAX_FALLBACKS = 3
"""After this many fallbacks to aiobotocore in a row, the fast path counts as not in use. One may be chance."""

_log = logging.getLogger(__name__)


class FastPathStatus:
    """Tracks for each operation whether its last calls took the fast path. Logs each change once."""

    def __init__(self, *, enabled: bool = True) -> None:
        self.enabled = enabled
        # Operation -> the reason for not taking the fast path, or None if it is taken. Empty before the first call.
        self._reasons: dict[str, str | None] = {}
        self._fallbacks = dict.fromkeys(OPERATIONS, 0)
        self._logged = False

    @property
    def in_use(self) -> bool:
        """Whether calls have taken the fast path, and no operation has stopped doing so."""
        return bool(self._reasons) and self.reason is None

    @property
    def reason(self) -> str | None:
        """Why the fast path is not in use; None if it is, and before the first call."""
        return next((reason for reason in self._reasons.values() if reason is not None), None)

    def took(self, operation: str) -> None:
        """Note a call that the fast path completed."""
        self._fallbacks[operation] = 0
        if self._reasons.get(operation, "") is not None:
            self._set({operation: None})

    def fell_back(self, operation: str, reason: str) -> None:
        """Note a call that the fast path could not complete, and aiobotocore did."""
        self._fallbacks[operation] += 1
        if self._fallbacks[operation] >= MAX_FALLBACKS:
            self._set({operation: reason})

    def declined(self, reason: str, *operations: str) -> None:
        """Note that these operations cannot take the fast path. No operations means all of them."""
        self._set(dict.fromkeys(operations or OPERATIONS, reason))

    def _set(self, reasons: dict[str, str | None]) -> None:
        before = self.reason
        self._reasons |= reasons
        after = self.reason
        if self._logged and before == after:
            return
        self._logged = True
        if after is None:
            _log.info("the fast SQS path is in use")
        else:
            _log.warning("the fast SQS path is not in use: %s; calls cost about four times the CPU", after)
