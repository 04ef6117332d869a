"""The text that ``sse-service dev`` prints: the addresses of its pages, and commands to paste into another terminal."""

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


def hints(
    *, url: str, admin_url: str, token: str, emulator: Emulator, executable: Sequence[str], user: str = USER
) -> str:
    """Return the text to print.

    ``url`` and ``admin_url`` have no path. ``token`` belongs to ``user``. ``executable`` is the command that runs this
    program.
    """
    credentials = _assignments({"AWS_ACCESS_KEY_ID": emulator.access_key, "AWS_SECRET_ACCESS_KEY": emulator.secret_key})
    aws = f"{credentials} {_command('aws', '--endpoint-url', emulator.endpoint_url, '--region', emulator.region)}"
    environment = _assignments({"SSE_TOPIC_ARN": emulator.topic_arn, **emulator.environment})
    data = orjson.dumps({"text": "Hello"}).decode()
    attributes = {
        name: {"DataType": "String", "StringValue": value}
        for name, value in (("user_id", user), ("event_type", "greeting"))
    }
    publish = _command(
        *("sns", "publish", "--topic-arn", emulator.topic_arn, "--message", data),
        *("--message-attributes", orjson.dumps(attributes).decode()),
    )
    key = f"s3://{emulator.bucket}/users/{user}/hello.txt"
    parts = (
        (f"Open the demo page, sign in as {user}, and upload a file", f"{url}/"),
        (
            f"Watch the stream of {user}",
            _command("curl", "-N", "-H", f"Authorization: Bearer {token}", f"{url}/events?since=all"),
        ),
        (
            "Watch it as one line for each event, by a command that comes back by itsel",
            _command(*executable, "tail", "--url", url, "--since", "all", "--token", token),
        ),
        (f"Publish an event to {user}, as any back end does", f"{aws} {publish}"),
        (
            "Publish without the AWS CLI",
            f"{environment} {_command(*executable, 'publish', '--user', user, data)}",
        ),
        (
            "Upload a file without the page: it is processed and shown as well",
            f"echo hello | {aws} {_command('s3', 'cp', '-', key)}",
        ),
        (
            "Open the operator's page: live figures, plots and warnings of this task, and a form for test events",
            f"{admin_url}/",
        ),
    )
    return "\n\n".join(f"# {title}\n{line}" for title, line in parts) + "\n"


def own_executable() -> list[str]:
    """Return the command that runs this program from any directory."""
    for path in (Path(sys.argv[0]), Path(sys.executable).with_name("sse-service")):
        if path.name == "sse-service" and path.is_file():
            return [str(path.absolute())]
    return [sys.executable, "-m", "sse_service"]


def _command(*words: str) -> str:
    return shlex.join(words)


def _assignments(values: dict[str, str]) -> str:
    return " ".join(f"{name}={shlex.quote(value)}" for name, value in values.items())
