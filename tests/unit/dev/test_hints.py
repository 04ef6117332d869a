"""The printed commands work when they are pasted."""

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from sse_service.dev.emulator import Emulator
from sse_service.dev.hints import hints, own_executable

EMULATOR = Emulator(
    endpoint_url="http://127.0.0.1:4566",
    topic_arn="arn:aws:sns:us-east-1:123456789012:demo-events",
    queue_url="http://127.0.0.1:4566/123456789012/demo-events",
    bucket="demo-uploads",
)
TEXT = hints(
    url="http://127.0.0.1:8000",
    admin_url="http://127.0.0.1:41234",
    token="a.b.c",
    emulator=EMULATOR,
    executable=["/opt/my tools/sse-service"],
    user="demo",
)


def words(name: str) -> tuple[dict[str, str], list[str]]:
    """Return the variables and the words of the command that contains ``name``."""
    for line in TEXT.splitlines():
        split = shlex.split(line, comments=True)
        split = split[split.index("|") + 1 :] if "|" in split else split
        env = [word for word in split if re.match(r"[A-Z_]+=", word)]
        rest = split[len(env) :]
        if rest and name in " ".join(rest):
            return dict(word.split("=", 1) for word in env), rest
    raise AssertionError(f"no line runs {name}")


@pytest.mark.parametrize(
    ("address", "purpose"),
    [("http://127.0.0.1:8000/", "demo page"), ("http://127.0.0.1:41234/", "operator's page")],
)
def test_the_address_of_each_page_stands_on_a_line_of_its_own_below_its_purpose(address: str, purpose: str) -> None:
    lines = TEXT.splitlines()
    assert purpose in lines[lines.index(address) - 1]


def test_curl_sends_the_token_and_asks_for_the_history() -> None:
    _, line = words("curl")
    assert line == ["curl", "-N", "-H", "Authorization: Bearer a.b.c", "http://127.0.0.1:8000/events?since=all"]


def test_tail_follows_the_stream_with_the_token() -> None:
    env, line = words("sse-service tail")
    assert env == {}
    assert line[:2] == ["/opt/my tools/sse-service", "tail"]
    given = dict(zip(line[2::2], line[3::2], strict=True))
    assert given == {"--url": "http://127.0.0.1:8000", "--since": "all", "--token": "a.b.c"}


def test_aws_publishes_to_the_user_with_the_emulators_credentials() -> None:
    env, line = words("sns publish")
    assert env == {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    assert line[:5] == ["aws", "--endpoint-url", "http://127.0.0.1:4566", "--region", "us-east-1"]
    assert line[line.index("--topic-arn") + 1] == EMULATOR.topic_arn
    attributes = json.loads(line[line.index("--message-attributes") + 1])
    assert attributes["user_id"] == {"DataType": "String", "StringValue": "demo"}
    assert json.loads(line[line.index("--message") + 1])


def test_aws_uploads_a_file_without_the_page() -> None:
    _, line = words("s3 cp")
    assert line[-2:] == ["-", "s3://demo-uploads/users/demo/hello.txt"]


def test_the_publish_command_sets_all_variables_that_it_needs() -> None:
    env, line = words("publish --user")
    assert line[0] == "/opt/my tools/sse-service"
    assert line[1:4] == ["publish", "--user", "demo"]
    assert env == {"SSE_TOPIC_ARN": EMULATOR.topic_arn, **EMULATOR.environment}


def test_the_executable_is_the_one_that_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = tmp_path / "sse-service"
    started.touch()
    monkeypatch.setattr(sys, "argv", [str(started)])
    assert own_executable() == [str(started)]


def test_without_an_executable_the_interpreter_runs_the_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "__main__.py")])
    monkeypatch.setattr(sys, "executable", str(python))
    assert own_executable() == [str(python), "-m", "sse_service"]
