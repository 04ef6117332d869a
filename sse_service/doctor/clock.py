"""``clock``: the local clock, compared with the date of AWS's answers."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from sse_service.doctor.report import Finding, fail, ok, skip, warn

WARN_SKEW_SECONDS = 5
"""A larger skew gets a warning, because event times and token expiry are wrong by the same amount."""

MAX_SKEW_SECONDS = 300
"""AWS refuses signatures with a larger skew (some of its services allow 15 minutes)."""


def clock_skew(date: str, *, sent: float, received: float) -> float | None:
    """Return how many seconds the local clock is ahead, by the ``Date`` header of an answer; None for an invalid date.

    The header has whole seconds, and the call takes time. A difference that these two explain counts as 0.
    """
    try:
        theirs = parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None
    if received < theirs:
        return received - theirs
    return max(sent - (theirs + 1), 0.0)


def check_clock(skew: float | None) -> Finding:
    """Check the skew in seconds."""
    if skew is None:
        return skip("clock", "no answer of AWS had a date")
    text = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} AWS's clock"
    if abs(skew) > MAX_SKEW_SECONDS:
        text += f": AWS refuses signatures that are more than {MAX_SKEW_SECONDS} s off"
        return fail("clock", text, "synchronize it with NTP")
    if abs(skew) > WARN_SKEW_SECONDS:
        return warn("clock", f"{text}: token expiry and event times are off by as much", "synchronize it with NTP")
    return ok("clock", f"within {max(abs(skew), 1):.0f} s of AWS's")
