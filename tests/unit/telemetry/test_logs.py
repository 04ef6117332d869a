"""A log record is one line, and libraries log no tokens and no payloads."""

import json
import logging
import re
from collections.abc import Iterator

import pytest

from sse_service.telemetry import logs

CANARY = "canary-eyJhbGciOi"


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    """Undo the configuration of each test: logging is global to the process."""
    root = logging.getLogger()
    names = (*logs.OWN_LOGGERS, *logs.QUIET_LOGGERS, "uvicorn", "uvicorn.error", "uvicorn.access")
    before = {name: (logging.getLogger(name).level, logging.getLogger(name).disabled) for name in names}
    level, handlers = root.level, root.handlers
    yield
    root.handlers = handlers
    root.setLevel(level)
    for name, (old, disabled) in before.items():
        logging.getLogger(name).setLevel(old)
        logging.getLogger(name).disabled = disabled


def written(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_json_has_time_level_logger_message_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    logging.getLogger("sse_service.x").info("stored %d", 3, extra={"channels": 2, "other": {1}})
    (line,) = written(capsys)
    found = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found.pop("time"))
    assert found == {
        "level": "info",
        "logger": "sse_service.x",
        "message": "stored 3",
        "channels": 2,
        "other": "{1}",
    }


def test_json_has_the_exception_in_the_same_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    try:
        raise ValueError("line\nend")
    except ValueError:
        logging.getLogger("sse_service").exception("failed")
    (line,) = written(capsys)
    assert "ValueError: line\nend" in json.loads(line)["exception"]


def test_text_has_time_level_logger_message_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "text")
    logging.getLogger("sse_service.x").warning("stored %s", "é", extra={"channels": 2})
    (line,) = written(capsys)
    assert re.fullmatch(r"\S+Z WARNING sse_service\.x: stored é channels=2", line)


@pytest.mark.parametrize("shape", ["json", "text"])
def test_a_message_cannot_forge_a_second_line(shape: str, capsys: pytest.CaptureFixture[str]) -> None:
    # pytest's own handler would put half a surrogate pair into a report, which cannot be encoded.
    logging.getLogger().handlers = []
    logs.configure("info", "json" if shape == "json" else "text")
    text = "a\r\nb\x1b[31m\x85\u2028\x00\ud83d"
    logging.getLogger("sse_service").info("%s", text, extra={"field": text})
    (line,) = written(capsys)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\ud800-\udfff]", line)


def test_text_indents_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "text")
    try:
        raise ValueError("x\n2026-01-01T00:00:00.000Z INFO forged\x1b")
    except ValueError:
        logging.getLogger("sse_service").error("failed", exc_info=True, stack_info=True)
    first, *rest = written(capsys)
    assert first.endswith("failed")
    assert all(line.startswith("    ") for line in rest)
    assert "\x1b" not in "".join(rest)


@pytest.mark.parametrize("level", ["debug", "DEBUG", "info", "error"])
def test_the_level_applies_to_our_own_loggers(level: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level, "text")
    lowest = logging.getLevelNamesMapping()[level.upper()]
    for name in ("sse_service.a", "consumers.a"):
        assert logging.getLogger(name).isEnabledFor(lowest)
        assert not logging.getLogger(name).isEnabledFor(lowest - 1)
    logging.getLogger("some.library").info(CANARY)
    assert written(capsys) == []


def test_libraries_that_log_payloads_stay_silent_even_when_the_root_logger_is_lowered(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("debug", "json")
    logging.getLogger().setLevel(logging.DEBUG)
    for name in (*logs.QUIET_LOGGERS, "botocore.endpoint", "botocore.auth", "sse_starlette.sse", "uvicorn.asgi"):
        logging.getLogger(name).debug("Authorization: Bearer %s", CANARY)
    for name in ("uvicorn.access", "httpx", "werkzeug", "sse_starlette.sse", "botocore.endpoint"):
        logging.getLogger(name).info("GET /events?token=%s", CANARY)
    assert CANARY not in capsys.readouterr().err


def test_warnings_of_libraries_are_written(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "text")
    logging.getLogger("botocore").warning("a")
    logging.getLogger("uvicorn.error").warning("b")
    logging.getLogger("asyncio").error("c")
    assert len(written(capsys)) == 3


def test_a_second_call_replaces_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    logs.configure("info", "text")
    logging.getLogger("sse_service").info("once")
    assert len(written(capsys)) == 1
