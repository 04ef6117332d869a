"""Lines for people, and JSON for programs."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime

import pytest

from sse_service.tail.blocks import Block
from sse_service.tail.printer import Printer

NOW = datetime(2026, 12, 1, 3, 4, 5, 678_000, UTC)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(block: Block, out: io.StringIO | None = None, *, as_json: bool = False, **environment: str) -> str:
    out = out or io.StringIO()
    Printer(out, as_json=as_json, environment=environment, now=lambda: NOW).print(block)
    return out.getvalue()


def test_a_file_gets_the_whole_data_without_colours() -> None:
    line = printed(Block("upload.done", "x" * 500))
    assert line.endswith(f"  upload.done  {'x' * 500}\n")
    assert "\x1b" not in line


def test_a_terminal_gets_colours_and_no_line_that_is_wider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    coloured = printed(Block("upload.done", "x" * 500), Terminal())
    assert "\x1b[36mupload.done" in coloured
    plain = printed(Block("upload.done", "x" * 500), Terminal(), NO_COLOR="1")
    assert "\x1b" not in plain
    assert len(plain.rstrip("\n")) == 60
    assert plain.endswith("…\n")


@pytest.mark.parametrize("text", ["漢" * 500, "e\u0301" * 500, "a漢" * 500])
def test_wide_and_combined_characters_count_as_the_terminal_shows_them(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    line = printed(Block("upload.done", text), Terminal(), NO_COLOR="1").rstrip("\n")
    columns = sum(0 if char == "\u0301" else 2 if char == "漢" else 1 for char in line)
    assert columns in (59, 60)
    assert line.endswith("…")


@pytest.mark.parametrize("columns", ["1", "12", "20"])
def test_a_narrow_terminal_loses_the_data_first(monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    line = printed(Block("upload.done", "x"), Terminal(), NO_COLOR="1")
    assert len(line.rstrip("\n")) <= max(int(columns), len("03:04:05.678") + 4)


def test_control_characters_are_not_sent_to_the_terminal() -> None:
    line = printed(Block("a\x1b[2J", "b\r\n\x07ä"), Terminal(), NO_COLOR="1")
    assert line.endswith("a\\x1b[2J  b\\r\\n\\x07ä\n")


def test_service_events_for_programs_are_printed_for_them_alone() -> None:
    cursor = Block("stream.cursor", "{}", "e.1.0")
    assert printed(cursor) == ""
    assert json.loads(printed(cursor, as_json=True))["id"] == "e.1.0"


def test_json_is_valid_in_every_encoding() -> None:
    for encoding in ("utf-8", "ascii", "latin-1"):
        raw = io.BytesIO()
        out = io.TextIOWrapper(raw, encoding=encoding, errors="backslashreplace")
        Printer(out, as_json=True, environment={}).print(Block("message", "ä漢"))
        assert json.loads(raw.getvalue().decode(encoding))["data"] == "ä漢"


def test_a_gap_stands_out() -> None:
    assert printed(Block("stream.gap", "{}"), Terminal()).startswith("\x1b[33m")


def test_a_program_gets_an_object_a_line() -> None:
    line = printed(Block("upload.done", "a\nb", "e.1.a", None), as_json=True)
    assert line.count("\n") == 1
    assert json.loads(line) == {
        "time": "2026-12-01T03:04:05.678Z",
        "event": "upload.done",
        "data": "a\nb",
        "id": "e.1.a",
    }
