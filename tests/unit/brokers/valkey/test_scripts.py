"""The scripts as they are sent: flags first, then the prelude, and what they are called with in its place."""

import asyncio
import hashlib
from importlib.resources import files
from typing import Any, cast

import pytest
from redis.exceptions import NoScriptError, OutOfMemoryError, ResponseError

from sse_service.brokers.valkey.link import Link
from sse_service.brokers.valkey.scripts import KEYS, Script, source
from sse_service.model.errors import Unavailable

SCRIPTS = ("publish", "replay", "probe")
FOLDER = files("sse_service.brokers.valkey")


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_flags_are_the_first_line_and_stand_only_there(name: str) -> None:
    first, *rest = source(name).splitlines()
    assert first.startswith(b"#!lua")
    assert first == FOLDER.joinpath(f"{name}.lua").read_bytes().splitlines()[0]
    assert not [line for line in rest if line.startswith(b"#!")]


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_prelude_stands_before_all_of_the_script(name: str) -> None:
    prelude = FOLDER.joinpath("book.lua").read_bytes()
    flags, _, body = FOLDER.joinpath(f"{name}.lua").read_bytes().partition(b"\n")
    assert source(name) == flags + b"\n" + prelude + b"\n" + body
    assert prelude.rstrip().endswith(b"\nopen()")


@pytest.mark.parametrize(("name", "allowed"), [("publish", False), ("replay", True), ("probe", True)])
def test_only_what_stores_events_is_refused_when_memory_is_out(name: str, allowed: bool) -> None:
    assert (b"allow-oom" in source(name).splitlines()[0]) is allowed


def test_all_keys_are_in_one_slot_and_none_begins_as_a_channels_history_does() -> None:
    assert {key[: key.index("}") + 1] for key in KEYS} == {"{sse}"}
    *fixed, history = KEYS
    assert not [key for key in fixed if key.startswith(history)]


class Answers:
    """In place of a connection: gives what it was made with, one for each call."""

    def __init__(self, *answers: list[Any] | Exception) -> None:
        self._answers = list(answers)
        self.calls: list[tuple[str | bytes | int, ...]] = []

    async def call(self, *arguments: str | bytes | int) -> Any:
        self.calls.append(arguments)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def run(answers: Answers, *arguments: str | bytes | int) -> list[Any]:
    return asyncio.run(Script("probe")(cast(Link, answers), "run id", *arguments))


def test_a_script_is_called_by_its_hash_with_keys_run_id_and_chance_before_its_arguments() -> None:
    answers = Answers([b"a"])
    assert run(answers, "x", 7, b"y") == [b"a"]
    ((command, name, count, *rest),) = answers.calls
    assert (command, name) == ("EVALSHA", hashlib.sha1(source("probe")).hexdigest())
    assert (count, tuple(rest[: len(KEYS)])) == (len(KEYS), KEYS)
    run_id, chance, *arguments = rest[len(KEYS) :]
    assert (run_id, arguments) == ("run id", ["x", 7, b"y"])
    assert len(bytes.fromhex(str(chance))) == 4


def test_a_script_that_the_server_does_not_know_is_sent_once_with_the_same_arguments() -> None:
    answers = Answers(NoScriptError(), [b"a"])
    assert run(answers, "x") == [b"a"]
    known, sent = answers.calls
    assert sent == ("EVAL", source("probe"), *known[2:])


@pytest.mark.parametrize("first", [[], [NoScriptError()]])
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), "the server is out of memory"),
        (ResponseError("BUSY running a script"), "BUSY running a script"),
    ],
)
def test_what_the_server_refuses_is_unavailable(first: list[Exception], error: Exception, reason: str) -> None:
    with pytest.raises(Unavailable, match=f"^{reason}$"):
        run(Answers(*first, error))
