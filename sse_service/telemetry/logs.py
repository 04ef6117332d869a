"""Writes one line a record to stderr, and keeps libraries from writing what users and tokens say."""

from __future__ import annotations

import json
import logging
import re
import time
from typing import Literal, TextIO

OURS = ("sse_service", "consumers")
"""The loggers that obey the level; the others say only what is wrong."""

PINNED = (
    *("aiobotocore", "aiohttp", "asyncio", "boto3", "botocore", "httpcore", "httpx", "moto", "multipart"),
    *("python_multipart", "responses", "s3transfer", "sse_starlette", "starlette", "urllib3", "werkzeug"),
)
"""Never below WARNING, whoever lowers the root: at DEBUG botocore logs bodies and Authorization headers, sse_starlette
each chunk, and at INFO httpx and werkzeug each URL with its query."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_BUILT_IN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(level: str, format: Literal["json", "text"]) -> None:  # noqa: A002  the setting's name
    """Log to stderr from now on, instead of what an earlier call set up.

    ``level`` is a name of the logging module's, in any case. uvicorn must be given ``log_config=None``, or it sets its
    own loggers anew.
    """
    lowest = logging.getLevelNamesMapping()[level.upper()]
    handler = _Stderr()
    handler.setFormatter(_Json() if format == "json" else _Text())
    root = logging.getLogger()
    root.handlers = [*(h for h in root.handlers if not isinstance(h, _Stderr)), handler]
    root.setLevel(max(lowest, logging.WARNING))
    for name in OURS:
        logging.getLogger(name).setLevel(lowest)
    for name in PINNED:
        logging.getLogger(name).setLevel(max(lowest, logging.WARNING))
    # At its own TRACE level uvicorn logs scopes, with their headers; at INFO what our own lines say already.
    logging.getLogger("uvicorn").setLevel(max(lowest, logging.WARNING))
    logging.getLogger("uvicorn.error").setLevel(logging.NOTSET)
    logging.getLogger("uvicorn.error").addFilter(_not_of_rubbish)
    # Its lines have the query string, in which a client might have put a token (CWE-598).
    logging.getLogger("uvicorn.access").disabled = True


def _not_of_rubbish(record: logging.LogRecord) -> bool:
    """Whoever sends what is no HTTP, or asks for a WebSocket, would fill the log: a line for each."""
    return not str(record.msg).startswith(("Invalid HTTP request", "Unsupported upgrade", "No supported WebSocket"))


class _Stderr(logging.StreamHandler[TextIO]):
    """Told apart from handlers that others added to the root."""


class _Json(logging.Formatter):
    """One JSON object a line, in ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_extra(record),
        }
        if trace := _trace(self, record):
            line["exception"] = trace
        return json.dumps(line, default=str)


class _Text(logging.Formatter):
    """Time, level, logger, message and fields on one line; below it, indented, a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={value}" for name, value in _extra(record).items())
        # A line end in a message would forge another record (CWE-117).
        line = f"{_time(record)} {record.levelname:<7} {record.name}: {_escaped(record.getMessage() + fields)}"
        trace = _trace(self, record)
        return "\n".join([line, *(f"    {_escaped(part)}" for part in trace.split("\n") if trace)])


def _time(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z"


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _BUILT_IN}


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = [formatter.formatException(record.exc_info)] if record.exc_info else []
    parts += [formatter.formatStack(record.stack_info)] if record.stack_info else []
    return "\n".join(parts)


def _escaped(text: str) -> str:
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
