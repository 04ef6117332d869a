"""Renders the operator's page as HTML."""

from __future__ import annotations

import time
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

from sse_service.operator.number_formats import count, duration, rate
from sse_service.operator.plots import plots

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sse_service.operator.overview import Overview

_NO_TOPIC = "Test events need a topic: <code>SSE_TOPIC_ARN</code> is not set."
_ROUND_TRIP = "The event returns through SNS and SQS to this task or another one."
_PAGE = Template((files(__package__) / "page.html").read_text("utf-8"))


def render_page(overview: Overview, *, topic: str, notice: str = "") -> str:
    """Render the whole document.

    ``topic`` is the ARN for test events, empty if none can be sent. ``notice`` is the result of the last form.
    """
    return _PAGE.substitute(
        overview=render_overview(overview, None),
        destination=f"Publishes to <code>{escape(topic)}</code>. {_ROUND_TRIP}" if topic else _NO_TOPIC,
        disabled="" if topic else "disabled",
        notice=f'<p class="notice" role="status">{escape(notice)}</p>' if notice else "",
    )


def render_overview(now: Overview, before: Overview | None) -> str:
    """Render the part of the page that changes. Rates are counted since ``before``."""
    return "\n".join(
        [
            _state(now),
            _section("Last 15 minutes", _history(now)),
            _section("Counts", _counts(now, before)),
            _section("Streams by user", _users(now)),
            _section("Last warnings and errors", _warnings(now)),
        ]
    )


def _ok(now: Overview, name: str) -> str:
    return f"ok: {now.notes[name]}" if name in now.notes else "ok"


def _state(now: Overview) -> str:
    states = [("task", "draining" if now.draining else None), *now.troubles.items()]
    items = "".join(
        f'<li class="{"bad" if trouble else "good"}"><b>{escape(name)}</b> {escape(trouble or _ok(now, name))}</li>'
        for name, trouble in states
    )
    numbers = [
        ("streams", count(now.streams)),
        ("users", count(now.user_count)),
        ("behind", count(now.behind)),
        ("up", duration(now.up_seconds)),
    ]
    cells = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in numbers)
    clock = time.strftime("%H:%M:%S", time.gmtime(now.at))
    return f'<ul class="states">{items}</ul><dl class="numbers">{cells}</dl><p class="at">as of {clock} UTC</p>'


def _history(now: Overview) -> str:
    shaded = "<p>Shaded: no data, because the process did not run.</p>" if now.window.pauses() else ""
    return f'<div class="plots">{plots(now.window, streams=now.streams)}</div>{shaded}'


def _counts(now: Overview, before: Overview | None) -> str:
    seconds = now.at - before.at if before else 0.0
    rows = []
    for name, total in now.counts.items():
        a_second = rate((total - before.counts[name]) / seconds) if before and seconds > 0 else "–"
        rows.append([escape(name), a_second, count(total)])
    return _table(["", "a second", "since the start"], rows)


def _users(now: Overview) -> str:
    if not now.users:
        return "<p>No streams are open.</p>"
    rows = [
        [escape(u.user), count(u.streams), duration(u.oldest_seconds), duration(u.newest_seconds), count(u.behind)]
        for u in now.users
    ]
    hidden = now.user_count - len(now.users)
    more = f"<p>And {count(hidden)} more users.</p>" if hidden else ""
    behind = "<p>Behind: catching up from history, or read slowly by the client.</p>"
    return _table(["user", "streams", "oldest", "newest", "behind"], rows) + more + behind


def _warnings(now: Overview) -> str:
    if not now.warnings:
        return "<p>None since the start.</p>"
    rows = [
        [time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(line.at)), escape(line.level), escape(line.text)]
        for line in now.warnings
    ]
    return _table(["time (UTC)", "level", "message"], rows, numeric=False)


def _section(title: str, body: str) -> str:
    return f"<section><h2>{title}</h2>{body}</section>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, numeric: bool = True) -> str:
    """Render a table. Cells are HTML, not plain text."""
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    kind = "numeric" if numeric else "text"
    return f'<div class="scroll"><table class="{kind}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
