"""The operator's page as HTML."""

from __future__ import annotations

import time
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sse_service.operator.overview import Overview

_PAGE = Template((files(__package__) / "page.html").read_text("utf-8"))


def page(overview: Overview, *, topic: str, notice: str = "") -> str:
    """The whole document; ``notice`` says what came of a test event."""
    return _PAGE.substitute(
        overview=fragment(overview, None),
        topic=escape(topic or "SSE_TOPIC_ARN is not set"),
        disabled="" if topic else "disabled",
        notice=f'<p class="notice" role="status">{escape(notice)}</p>' if notice else "",
    )


def fragment(now: Overview, before: Overview | None) -> str:
    """What changes: rates are those since ``before``."""
    return "\n".join(
        [
            _state(now),
            _section("Rates", _rates(now, before)),
            _section("Streams by user", _users(now)),
            _section("Last warnings and errors", _errors(now)),
        ]
    )


def _state(now: Overview) -> str:
    words = [("task", "draining" if now.draining else None), *now.troubles.items()]
    items = "".join(
        f'<li class="{"bad" if trouble else "good"}"><b>{escape(name)}</b> {escape(trouble or "ok")}</li>'
        for name, trouble in words
    )
    numbers = [("streams", f"{now.streams:,}"), ("behind", f"{now.behind:,}"), ("up", duration(now.up_seconds))]
    cells = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in numbers)
    clock = time.strftime("%H:%M:%S", time.gmtime(now.at))
    return f'<ul class="states">{items}</ul><dl class="numbers">{cells}</dl><p class="at">as of {clock} UTC</p>'


def _rates(now: Overview, before: Overview | None) -> str:
    seconds = now.at - before.at if before else 0.0
    rows = []
    for name, count in now.counts.items():
        rate = f"{(count - before.counts[name]) / seconds:,.1f}" if before and seconds > 0 else "–"
        rows.append([escape(name), rate, f"{count:,.0f}"])
    table = _table(["", "a second", "since the start"], rows)
    delays = now.delays
    if before is not None:
        delays = [(edge, count - was) for (edge, count), (_, was) in zip(now.delays, before.delays, strict=True)]
    lately = ", ".join(f"{name} {_at_most(delays, share)}" for name, share in (("half", 0.5), ("99 in 100", 0.99)))
    since = "in the last seconds" if before else "since the start"
    return f'{table}<p class="lag">From publish to write, {since}: {lately}</p>'


def _at_most(delays: Sequence[tuple[float, float]], share: float) -> str:
    wanted = share * sum(count for _, count in delays)
    passed = 0.0
    for edge, count in delays:
        passed += count
        if passed >= wanted > 0:
            return f"within {edge * 1000:,.0f} ms"
    return "–"


def _users(now: Overview) -> str:
    if not now.users:
        return "<p>Nobody has a stream open.</p>"
    rows = [
        [escape(u.user), f"{u.streams:,}", duration(u.oldest_seconds), duration(u.newest_seconds), f"{u.behind:,}"]
        for u in now.users
    ]
    more = f"<p>And {now.users_not_shown:,} more users.</p>" if now.users_not_shown else ""
    return _table(["user", "streams", "oldest", "newest", "behind"], rows) + more


def _errors(now: Overview) -> str:
    if not now.errors:
        return "<p>None since the start.</p>"
    rows = [
        [time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(line.at)), escape(line.level), escape(line.text)]
        for line in now.errors
    ]
    return _table(["when, UTC", "level", "what"], rows, words=True)


def _section(title: str, body: str) -> str:
    return f"<section><h2>{title}</h2>{body}</section>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, words: bool = False) -> str:
    """Cells are HTML."""
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    kind = "words" if words else "figures"
    return f'<div class="scroll"><table class="{kind}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def duration(seconds: float) -> str:
    """As 42 s, 7 min, 3.5 h or 2.1 d."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    if seconds < 86_400:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86_400:.1f} d"
