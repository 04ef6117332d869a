"""What ``sse-service dev`` prints: the page's address, and lines that work when pasted into another terminal."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from sse_service.dev.emulator import Emulator

USER = "demo"


def hints(*, url: str, token: str, emulator: Emulator, executable: Sequence[str], user: str = USER) -> str:
    """The text; ``url`` is the service's, without a path, ``token`` one of the user, ``executable`` our own words."""
    credentials = _assignments({"AWS_ACCESS_KEY_ID": emulator.access_key, "AWS_SECRET_ACCESS_KEY": emulator.secret_key})
    aws = f"{credentials} {_line('aws', '--endpoint-url', emulator.endpoint_url, '--region', emulator.region)}"
    own = _assignments({"SSE_TOPIC_ARN": emulator.topic_arn, **emulator.environment})
    data = orjson.dumps({"text": "Hello"}).decode()
    attributes = {
        name: {"DataType": "String", "StringValue": value}
        for name, value in (("user_id", user), ("event_type", "greeting"))
    }
    publish = _line(
        *("sns", "publish", "--topic-arn", emulator.topic_arn, "--message", data),
        *("--message-attributes", orjson.dumps(attributes).decode()),
    )
    key = f"s3://{emulator.bucket}/users/{user}/hello.txt"
    parts = (
        (f"Open the page, sign in as {user}, upload a file", f"{url}/"),
        (
            f"Watch {user}'s stream",
            _line("curl", "-N", "-H", f"Authorization: Bearer {token}", f"{url}/events?since=all"),
        ),
        ("Publish as any back end does", f"{aws} {publish}"),
        ("Publish without the AWS CLI", f"{own} {_line(*executable, 'publish', '--user', user, data)}"),
        (
            "Upload behind the page's back: it is processed and shown all the same",
            f"echo hello | {aws} {_line('s3', 'cp', '-', key)}",
        ),
    )
    return "\n\n".join(f"# {title}\n{line}" for title, line in parts) + "\n"


def own_executable() -> list[str]:
    """The words that run this program from any directory."""
    for path in (Path(sys.argv[0]), Path(sys.executable).with_name("sse-service")):
        if path.name == "sse-service" and path.is_file():
            return [str(path.absolute())]
    return [sys.executable, "-m", "sse_service"]


def _line(*words: str) -> str:
    return shlex.join(words)


def _assignments(values: dict[str, str]) -> str:
    return " ".join(f"{name}={shlex.quote(value)}" for name, value in values.items())
