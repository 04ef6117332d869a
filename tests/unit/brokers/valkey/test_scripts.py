"""A script is sent as flags, shared code and body, and called with keys and arguments in a fixed order."""

import asyncio
import hashlib
import re
from importlib.resources import files
from typing import Any, cast

import pytest
from redis.exceptions import NoPermissionError, NoScriptError, OutOfMemoryError, ResponseError

from sse_service.brokers.valkey.pipeline import Pipeline
from sse_service.brokers.valkey.requirements import COMMANDS, NO_PERMISSION
from sse_service.brokers.valkey.scripts import KEYS, REVOCATION_KEYS, Script, source
from sse_service.model.errors import Unavailable

FOR_EVENTS = ("publish", "replay", "probe")
SCRIPTS = (*FOR_EVENTS, "revocations")
FOLDER = files("sse_service.brokers.valkey")


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_first_line_and_only_the_first_has_flags(name: str) -> None:
    first, *rest = source(name).splitlines()
    assert first.startswith(b"#!lua")
    assert first == FOLDER.joinpath(f"{name}.lua").read_bytes().splitlines()[0]
    assert not [line for line in rest if line.startswith(b"#!")]


@pytest.mark.parametrize("name", FOR_EVENTS)
def test_the_shared_code_comes_before_the_script(name: str) -> None:
    shared = FOLDER.joinpath("metadata.lua").read_bytes()
    flags, _, body = FOLDER.joinpath(f"{name}.lua").read_bytes().partition(b"\n")
    assert source(name) == flags + b"\n" + shared + b"\n" + body
    assert b" open(" in body


@pytest.mark.parametrize(
    ("name", "allowed"), [("publish", False), ("replay", True), ("probe", True), ("revocations", True)]
)
def test_only_publishing_is_refused_when_memory_is_full(name: str, allowed: bool) -> None:
    assert (b"allow-oom" in source(name).splitlines()[0]) is allowed


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_command_of_a_script_is_in_the_acl_rules(name: str) -> None:
    called = {found.decode().lower() for found in re.findall(rb"redis\.call\('(\w+)'", source(name))}
    assert called
    assert called <= set(COMMANDS)


def test_the_keys_are_not_renamed() -> None:
    """Tasks of two versions share a server during a deploy, so a renamed key would lose its data."""
    assert KEYS == ("{sse}:book", "{sse}:channels", "{sse}:seen", "{sse}:seen:old", "{sse}:history:")
    assert REVOCATION_KEYS == ("{sse}:revoked", "{sse}:revoked:order")


def test_all_keys_are_in_one_slot_and_no_other_key_has_the_prefix_of_histories() -> None:
    assert {key[: key.index("}") + 1] for key in (*KEYS, *REVOCATION_KEYS)} == {"{sse}"}
    *fixed, history = (*REVOCATION_KEYS, *KEYS)
    assert not [key for key in fixed if key.startswith(history)]


class FakePipeline:
    """A pipeline with one prepared answer for each call."""

    def __init__(self, *pipeline: list[Any] | Exception) -> None:
        self._answers = list(pipeline)
        self.calls: list[tuple[str | bytes | int, ...]] = []

    async def call(self, *arguments: str | bytes | int) -> Any:
        self.calls.append(arguments)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def run(pipeline: FakePipeline, *arguments: str | bytes | int) -> list[Any]:
    return asyncio.run(Script("probe")(cast(Pipeline, pipeline), "run id", *arguments))


def test_a_script_is_called_by_hash_with_keys_run_id_and_random_digits_first() -> None:
    pipeline = FakePipeline([b"a"])
    assert run(pipeline, "x", 7, b"y") == [b"a"]
    ((command, name, count, *rest),) = pipeline.calls
    assert (command, name) == ("EVALSHA", hashlib.sha1(source("probe")).hexdigest())
    assert (count, tuple(rest[: len(KEYS)])) == (len(KEYS), KEYS)
    run_id, random_digits, *arguments = rest[len(KEYS) :]
    assert (run_id, arguments) == ("run id", ["x", 7, b"y"])
    assert len(bytes.fromhex(str(random_digits))) == 4


def test_a_script_that_the_server_does_not_know_is_sent_with_the_same_arguments() -> None:
    pipeline = FakePipeline(NoScriptError(), [b"a"])
    assert run(pipeline, "x") == [b"a"]
    known, sent = pipeline.calls
    assert sent == ("EVAL", source("probe"), *known[2:])


@pytest.mark.parametrize("first", [[], [NoScriptError()]])
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), "the server is out of memory"),
        (ResponseError("BUSY running a script"), "BUSY running a script"),
        (NoPermissionError("User sse has no permissions to run the 'eval' command"), NO_PERMISSION),
        (ResponseError("ACL failure in script: User sse has no permissions to run the 'xadd' command"), NO_PERMISSION),
    ],
)
def test_an_error_of_the_server_raises_unavailable(first: list[Exception], error: Exception, reason: str) -> None:
    with pytest.raises(Unavailable, match=f"^{reason}$"):
        run(FakePipeline(*first, error))
