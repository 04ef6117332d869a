"""Asking one's own back end: what counts as an answer, who shares one, and how many are asked for at a time."""

from __future__ import annotations

import asyncio
import logging
import math
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import HTTPConnection

from sse_service.auth.authorizer import Authorizer
from sse_service.auth.authorizer_answer import MAX_EXPIRES_IN, AuthorizerFailure, principal_of
from sse_service.auth.authorizer_calls import MAX_WAITING, PLACES, TROUBLE_SECONDS, AuthorizerCalls
from sse_service.auth.authorizer_credentials import Credentials, check_page, credentials_of
from sse_service.auth.authorizer_memory import MAX_ANSWERS, MAX_BYTES, REMEMBER_SECONDS, AuthorizerMemory
from sse_service.auth.callable_authorizer import CallableAuthorizer, import_authorizer
from sse_service.model.errors import Forbidden, InvalidSettings, InvalidToken, Overloaded
from sse_service.model.principal import Principal
from sse_service.model.reasons import RefusalReason
from sse_service.telemetry.metrics import Metrics
from tests.integration.process import DEADLINE
from tests.unit.task import wait_until

ANSWER: dict[str, Any] = {"user": "42", "groups": ["ops"], "expires_in": 900}
PRINCIPAL = Principal("42", ("ops",), 1900, 1000.0, b"digest")

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def request(*headers: tuple[str, str], kind: str = "http", method: str | None = "GET") -> HTTPConnection:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in (("host", "push.example.com"), *headers)]
    scope = {"type": kind, "scheme": "https" if kind == "http" else "wss", "path": "/events", "headers": raw}
    return HTTPConnection(scope | ({"method": method} if kind == "http" else {}))


def cookie(value: str = "s=1") -> HTTPConnection:
    return request(("cookie", value))


@asynccontextmanager
async def backend(answer: Handler) -> AsyncIterator[str]:
    """Serve a back end on this event loop."""
    server = web.Server(answer)
    runner = web.ServerRunner(server, handle_signals=False)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def running(authorizer: Authorizer) -> AsyncIterator[None]:
    work = asyncio.create_task(authorizer.run())
    await asyncio.sleep(0)
    try:
        yield
    finally:
        work.cancel()
        await asyncio.wait([work])


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(DEADLINE):
            await body()

    asyncio.run(bounded())


class Gate:
    """A back end that counts requests, and answers when it is told to."""

    def __init__(self, status: int = 200) -> None:
        self.asked = 0
        self.status = status
        self.open = asyncio.Event()

    async def __call__(self, _: web.BaseRequest) -> web.StreamResponse:
        self.asked += 1
        await self.open.wait()
        return web.json_response(ANSWER, status=self.status)


# The answer


def test_an_answer_is_a_user_with_groups_and_an_expiry() -> None:
    principal = principal_of({**ANSWER, "name": "Ann"}, issued=1000.5, credential=b"c")
    assert principal == Principal("42", ("ops",), 1900, 1000.5, b"c")


@pytest.mark.parametrize(
    ("given_names", "user", "groups"),
    [
        ({"user": 42}, "42", ("ops",)),
        ({"user": "Ann B"}, "Ann B", ("ops",)),
        ({"groups": [7, "7", "a"]}, "42", ("7", "a")),
        ({"groups": ("a",)}, "42", ("a",)),
        ({"groups": []}, "42", ()),
        ({"groups": None}, "42", ()),
        ({"user": "u" * 1024}, "u" * 1024, ("ops",)),
    ],
)
def test_users_and_groups_are_strings_or_integers(
    given_names: dict[str, Any], user: str, groups: tuple[str, ...]
) -> None:
    principal = principal_of(ANSWER | given_names, issued=1000, credential=b"")
    assert (principal.user, principal.groups) == (user, groups)


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        *(("no JSON object", answer) for answer in (None, [], [ANSWER], "42", 42, True)),
        ("named no user", {**ANSWER, "user": None}),
        ("named no user", {"expires_in": 900}),
        *(
            ("named a user that", {**ANSWER, "user": user})
            for user in (True, False, 1.5, [], {}, ["42"], "", " ", "42 ", "\t42", "\ud83d", "u" * 1025, "é" * 513)
        ),
        *(
            ("gave groups that", {**ANSWER, "groups": groups})
            for groups in ("ops", "", 7, 0, True, False, {}, {"a": 1}, [None], [True], ["a", 1.5], [""], ["a "])
        ),
        ("gave groups that", {**ANSWER, "groups": ["g" * 1025]}),
        *(
            ("gave no expires_in", {**ANSWER, "expires_in": seconds})
            for seconds in (None, True, "900", [900], 0, -1, math.nan, math.inf, MAX_EXPIRES_IN + 1, 1_900_000_000)
        ),
    ],
)
def test_an_answer_that_names_nobody_for_sure_is_a_failure(said: str, answer: object) -> None:
    with pytest.raises(AuthorizerFailure) as caught:
        principal_of(answer, issued=1000, credential=b"")
    assert said in caught.value.reason


def test_more_than_a_hundred_groups_are_forbidden() -> None:
    groups = [str(number) for number in range(101)]
    with pytest.raises(Forbidden, match="100 groups"):
        principal_of({**ANSWER, "groups": groups}, issued=1000, credential=b"")
    assert len(principal_of({**ANSWER, "groups": groups[1:]}, issued=1000, credential=b"").groups) == 100


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda each: st.lists(each)))
def test_no_value_of_a_field_makes_another_exception(value: Any) -> None:
    for field in ANSWER:
        with suppress(AuthorizerFailure, Forbidden):
            principal_of({**ANSWER, field: value}, issued=1000, credential=b"")


# The credentials


@given(st.tuples(st.text(), st.text()), st.tuples(st.text(), st.text()))
def test_two_pairs_of_headers_have_one_digest_only_if_they_are_equal(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    assert (Credentials(*one).digest == Credentials(*other).digest) == (one == other)


@pytest.mark.parametrize("others", [("ab", ""), ("", "ab"), ("b", "a"), ("a\0b", ""), ("a|b", "")])
def test_a_header_that_ends_elsewhere_is_another_credential(others: tuple[str, str]) -> None:
    assert Credentials(*others).digest != Credentials("a", "b").digest
    assert len(Credentials("a", "b").digest) == 16


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("cookie", "a=1; b=2")], Credentials("a=1; b=2", "")),
        ([("cookie", "a=1"), ("cookie", "b=2")], Credentials("a=1; b=2", "")),
        ([("authorization", "Basic dTpw")], Credentials("", "Basic dTpw")),
        ([("cookie", "a=1"), ("authorization", "x")], Credentials("a=1", "x")),
        ([("cookie", "a=\x01; b=2")], Credentials("b=2", "")),
        ([("cookie", "a=caf\xe9")], None),
        ([("cookie", ""), ("authorization", "")], None),
        ([("x-key", "1")], None),
    ],
)
def test_the_credentials_are_the_two_headers(headers: list[tuple[str, str]], expected: Credentials | None) -> None:
    assert credentials_of(request(*headers)) == expected


@pytest.mark.parametrize("headers", [[("authorization", "a"), ("authorization", "")], [("authorization", "caf\xe9")]])
def test_an_authorization_header_that_cannot_be_passed_on_is_refused(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(InvalidToken):
        credentials_of(request(*headers))


def test_a_handshake_needs_an_origin_only_if_a_browser_may_have_made_it() -> None:
    check_page(request(("authorization", "x"), kind="websocket"), allowed=())
    check_page(request(("cookie", "x"), ("origin", "https://push.example.com"), kind="websocket"), allowed=())
    for headers in ([("cookie", "x")], [("authorization", "x"), ("origin", "https://evil.example")]):
        with pytest.raises(Forbidden):
            check_page(request(*headers, kind="websocket"), allowed=())


# The memory


def test_an_answer_is_remembered_as_long_as_it_says_and_at_most_a_minute() -> None:
    now = 0.0
    memory = AuthorizerMemory(clock=lambda: now)
    memory.put(b"short", PRINCIPAL, seconds=5)
    memory.put(b"long", PRINCIPAL, seconds=900)
    assert memory.get(b"short") is memory.get(b"long") is PRINCIPAL
    now = 5.0
    assert memory.get(b"short") is None
    now = REMEMBER_SECONDS - 0.001
    assert memory.get(b"long") is PRINCIPAL
    now = REMEMBER_SECONDS
    assert memory.get(b"long") is None


def test_the_oldest_answers_go_if_there_are_too_many() -> None:
    memory = AuthorizerMemory(clock=lambda: 0.0)
    for number in range(MAX_ANSWERS + 1):
        memory.put(b"%d" % number, PRINCIPAL, seconds=60)
    assert memory.get(b"0") is None
    assert memory.get(b"1") is memory.get(b"%d" % MAX_ANSWERS) is PRINCIPAL


def test_the_oldest_answers_go_if_they_are_too_large() -> None:
    memory = AuthorizerMemory(clock=lambda: 0.0)
    large = Principal("u" * 65_536, (), 1900)
    for number in range(MAX_BYTES // 65_536 + 1):
        memory.put(b"%d" % number, large, seconds=60)
    assert memory.get(b"0") is None
    assert memory.get(b"%d" % (MAX_BYTES // 65_536)) is large


def test_an_answer_that_has_expired_takes_no_room() -> None:
    memory = AuthorizerMemory(clock=lambda: 0.0)
    memory.put(b"expired", PRINCIPAL, seconds=-1)
    assert memory.get(b"expired") is None
    memory.put(b"next", PRINCIPAL, seconds=60)
    assert memory.get(b"next") is PRINCIPAL


# The calls


class Calls:
    """Calls whose clock and outcomes the test decides."""

    def __init__(self) -> None:
        self.now = 0.0
        self.metrics = Metrics()
        self.calls = AuthorizerCalls(metrics=self.metrics, clock=lambda: self.now)

    async def ask(self, outcome: Principal | Exception) -> Exception | None:
        """Make a call with this outcome, and return what the caller gets."""

        async def answer() -> Principal:
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        try:
            await self.calls.run(answer)
        except Exception as error:
            return error
        return None


def test_a_failure_is_trouble_until_the_next_answer_or_for_half_a_minute() -> None:
    async def body() -> None:
        calls = Calls()
        failure = AuthorizerFailure("answered 500")
        assert calls.calls.trouble is None
        error = await calls.ask(failure)
        assert isinstance(error, Overloaded)
        assert error.reason is RefusalReason.IDENTITY
        assert calls.calls.trouble == "it answered 500"
        for answer in (PRINCIPAL, InvalidToken("x"), Forbidden("x")):
            await calls.ask(failure)
            assert await calls.ask(answer) is (None if answer is PRINCIPAL else answer)
            assert calls.calls.trouble is None
        await calls.ask(failure)
        calls.now += TROUBLE_SECONDS
        assert calls.calls.trouble is not None
        calls.now += 1
        assert calls.calls.trouble is None

    run(body)


def test_a_line_is_logged_once_for_each_change_and_not_twice_within_half_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def body() -> None:
        calls = Calls()
        one, other = AuthorizerFailure("answered 500", "see there"), AuthorizerFailure("answered 302")
        for _ in range(3):
            for outcome in (one, one, other, one, PRINCIPAL):
                await calls.ask(outcome)
        calls.now += 3600
        await calls.ask(one)
        calls.now += 3600
        await calls.ask(one)
        await calls.ask(PRINCIPAL)

    with caplog.at_level(logging.INFO):
        run(body)
    assert [each.getMessage() for each in caplog.records] == [
        "the authorizer answered 500: see there",
        "the authorizer answered 302",
        "the authorizer answers again, after 0.0 s",
        "the authorizer answered 500: see there",
        "the authorizer answers again, after 3600.0 s",
    ]


def test_at_most_64_calls_run_and_those_that_wait_are_limited_too() -> None:
    async def body() -> None:
        metrics = Metrics()
        calls, gate, asked = AuthorizerCalls(metrics=metrics), asyncio.Event(), 0

        async def ask() -> Principal:
            nonlocal asked
            asked += 1
            await gate.wait()
            return PRINCIPAL

        tasks = [asyncio.create_task(calls.run(ask)) for _ in range(PLACES + MAX_WAITING)]
        await wait_until(lambda: asked == PLACES)
        with pytest.raises(Overloaded):
            await calls.run(ask)
        assert asked == PLACES
        assert calls.trouble is not None
        assert "too slow" in calls.trouble
        for task in tasks[:100]:
            task.cancel()
        gate.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert results.count(PRINCIPAL) == PLACES + MAX_WAITING - 100
        assert await calls.run(ask) == PRINCIPAL

    run(body)


def test_a_call_without_an_answer_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sse_service.auth.authorizer_calls.SECONDS", 0.01)

    async def body() -> None:
        calls = AuthorizerCalls(metrics=Metrics())

        async def ask() -> Principal:
            await asyncio.Event().wait()
            raise AssertionError

        # Those that wait for a place have the same time.
        results = await asyncio.gather(*(calls.run(ask) for _ in range(PLACES + 1)), return_exceptions=True)
        assert {type(each) for each in results} == {Overloaded}
        assert calls.trouble == "it did not answer within 0 s"

    run(body)


# One call for all


def test_requests_with_one_credential_share_a_call_and_its_answer() -> None:
    async def body() -> None:
        gate, metrics = Gate(), Metrics()
        async with backend(gate) as url:
            authorizer = Authorizer(url, metrics=metrics)
            async with running(authorizer):
                waiting = [asyncio.create_task(authorizer.authenticate(cookie())) for _ in range(10)]
                await wait_until(lambda: gate.asked == 1)
                waiting[0].cancel()
                gate.open.set()
                results = await asyncio.gather(*waiting, return_exceptions=True)
                assert isinstance(results[0], asyncio.CancelledError)
                assert len({id(each) for each in results[1:]}) == 1
                assert await authorizer.authenticate(cookie()) is results[1]
                assert gate.asked == 1
                assert await authorizer.authenticate(cookie("s=2")) is not results[1]
                assert gate.asked == 2

    run(body)


@pytest.mark.parametrize(("status", "error"), [(401, InvalidToken), (403, Forbidden), (500, Overloaded)])
def test_a_refusal_is_shared_while_it_is_under_way_and_each_request_gets_its_own(
    status: int, error: type[Exception]
) -> None:
    async def body() -> None:
        gate = Gate(status)
        async with backend(gate) as url:
            authorizer = Authorizer(url, metrics=Metrics())
            async with running(authorizer):
                waiting = [asyncio.create_task(authorizer.authenticate(cookie())) for _ in range(10)]
                await wait_until(lambda: gate.asked == 1)
                gate.open.set()
                results = await asyncio.gather(*waiting, return_exceptions=True)
                assert {type(each) for each in results} == {error}
                assert len({id(each) for each in results}) == 10
                assert gate.asked == 1
                with pytest.raises(error):
                    await authorizer.authenticate(cookie())
                assert gate.asked == 2

    run(body)


def test_an_answer_that_is_no_longer_good_is_asked_for_again() -> None:
    revoked_at = 0.0

    def still_good(principal: Principal) -> bool:
        return principal.issued is not None and principal.issued > revoked_at

    async def body() -> None:
        nonlocal revoked_at
        gate = Gate()
        gate.open.set()
        async with backend(gate) as url:
            authorizer = Authorizer(url, metrics=Metrics(), still_good=still_good)
            async with running(authorizer):
                first = await authorizer.authenticate(cookie())
                assert first is not None
                assert first.issued is not None
                revoked_at = first.issued
                second = await authorizer.authenticate(cookie())
                assert second is not None
                assert second.issued is not None
                assert second.issued > first.issued
                assert gate.asked == 2
                # The back end refuses the user by now: what was remembered is gone, also if the revocation is.
                revoked_at, gate.status = second.issued, 401
                with pytest.raises(InvalidToken):
                    await authorizer.authenticate(cookie())
                revoked_at = 0.0
                with pytest.raises(InvalidToken):
                    await authorizer.authenticate(cookie())

    run(body)


def test_a_user_who_is_revoked_while_the_call_is_under_way_is_asked_about_again() -> None:
    good = iter([False, True])

    async def body() -> None:
        gate = Gate()
        gate.open.set()
        async with backend(gate) as url:
            authorizer = Authorizer(url, metrics=Metrics(), still_good=lambda _: next(good))
            async with running(authorizer):
                assert await authorizer.authenticate(cookie()) is not None
                assert gate.asked == 2

    run(body)


def test_a_user_whom_a_new_answer_cannot_clear_is_told_to_come_back() -> None:
    async def authorize(_: HTTPConnection) -> dict[str, Any]:
        return ANSWER

    async def body() -> None:
        gate = Gate()
        gate.open.set()
        async with backend(gate) as url:
            authorizer = Authorizer(url, metrics=Metrics(), still_good=lambda _: False)
            async with running(authorizer):
                with pytest.raises(Overloaded):
                    await authorizer.authenticate(cookie())
                assert gate.asked == 2
        code = CallableAuthorizer(authorize, metrics=Metrics(), still_good=lambda _: False)
        with pytest.raises(Overloaded):
            await code.authenticate(cookie())

    run(body)


def test_nobody_can_be_identified_before_it_runs_and_after_it_ended() -> None:
    async def body() -> None:
        gate = Gate()
        async with backend(gate) as url:
            authorizer = Authorizer(url, metrics=Metrics())
            with pytest.raises(Overloaded):
                await authorizer.authenticate(cookie())
            async with running(authorizer):
                waiting = asyncio.create_task(authorizer.authenticate(cookie()))
                await wait_until(lambda: gate.asked == 1)
            with pytest.raises(Overloaded):
                await waiting
            with pytest.raises(Overloaded):
                await authorizer.authenticate(cookie())
            assert await authorizer.authenticate(request()) is None
            gate.open.set()

    run(body)


def test_the_password_of_netrc_is_not_added_to_a_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login root password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    headers: dict[str, str] = {}

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        headers.update(request.headers)
        return web.json_response(ANSWER)

    async def body() -> None:
        async with backend(answer) as url:
            authorizer = Authorizer(url, metrics=Metrics())
            async with running(authorizer):
                assert await authorizer.authenticate(cookie()) is not None
        assert headers["Cookie"] == "s=1"
        assert "Authorization" not in headers

    run(body)


def test_requests_go_by_the_proxy_of_the_environment_unless_no_proxy_names_the_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        asked.append(request.headers["Host"])
        return web.json_response(ANSWER)

    async def body() -> None:
        async with backend(answer) as url:
            monkeypatch.setenv("http_proxy", url)
            for host in ("backend.invalid", "127.0.0.1"):
                monkeypatch.setenv("no_proxy", "127.0.0.1")
                port = url.rpartition(":")[2]
                authorizer = Authorizer(f"http://{host}:{port}/push-user", metrics=Metrics())
                async with running(authorizer):
                    assert await authorizer.authenticate(cookie()) is not None
            assert asked == [f"backend.invalid:{port}", f"127.0.0.1:{port}"]

    run(body)


# Code of one's own


def by_code(authorize: Any, connection: HTTPConnection | None = None) -> Principal | None:
    authorizer = CallableAuthorizer(authorize, metrics=Metrics())
    return asyncio.run(authorizer.authenticate(connection or request()))


def test_code_is_asked_even_without_cookie_and_authorization() -> None:
    async def authorize(_: HTTPConnection) -> dict[str, Any]:
        return ANSWER

    principal = by_code(authorize)
    assert principal is not None
    assert (principal.user, principal.groups, principal.credential) == ("42", ("ops",), b"")
    assert (by_code(authorize, cookie()) or PRINCIPAL).credential == Credentials("s=1", "").digest


def test_code_whose_own_task_was_cancelled_is_overload_and_not_an_end_without_an_answer() -> None:
    async def authorize(_: HTTPConnection) -> dict[str, Any]:
        task = asyncio.create_task(asyncio.Event().wait())
        task.cancel()
        await task
        return ANSWER

    with pytest.raises(Overloaded):
        by_code(authorize)


def test_a_request_that_is_cancelled_cancels_the_code() -> None:
    async def body() -> None:
        began = asyncio.Event()

        async def authorize(_: HTTPConnection) -> None:
            began.set()
            await asyncio.Event().wait()

        authorizer = CallableAuthorizer(authorize, metrics=Metrics())
        task = asyncio.create_task(authorizer.authenticate(request()))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert authorizer.trouble is None

    run(body)


def test_a_timeout_of_the_codes_own_is_an_exception_like_any_other() -> None:
    async def authorize(_: HTTPConnection) -> None:
        raise TimeoutError

    async def body() -> None:
        authorizer = CallableAuthorizer(authorize, metrics=Metrics())
        with pytest.raises(Overloaded):
            await authorizer.authenticate(request())
        assert authorizer.trouble == "it failed with TimeoutError"

    run(body)


CODE = """
class Keys:
    async def __call__(self, connection): ...
    async def method(self, connection): ...
    async def two(self, connection, other): ...
keys = Keys()
async def authorize(connection, ttl=900): ...
def plain(connection): ...
number = 7
"""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    return tmp_path


def test_code_is_imported_from_the_working_directory(directory: Path) -> None:
    (directory / "code_of_one.py").write_text(CODE)
    for name in ("authorize", "keys", "keys.method"):
        assert callable(import_authorizer(f"code_of_one:{name}"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plain", "must be a coroutine function: async def plain"),
        ("number", "must be a coroutine function"),
        ("Keys", "must be a coroutine function"),
        ("keys.two", "must take one argument"),
        ("missing", "cannot import code_of_two:missing: AttributeError"),
    ],
)
def test_code_that_cannot_be_called_is_named(directory: Path, name: str, text: str) -> None:
    (directory / "code_of_two.py").write_text(CODE)
    with pytest.raises(InvalidSettings) as caught:
        import_authorizer(f"code_of_two:{name}")
    assert str(caught.value).startswith("SSE_AUTHORIZER: ")
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("import nowhere_at_all", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("raise ValueError('two\\nlines')", "ValueError: two lines"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("def (", "SyntaxError"),
    ],
)
def test_a_module_that_cannot_be_imported_is_one_line(directory: Path, code: str, text: str) -> None:
    (directory / "code_of_three.py").write_text(code)
    with pytest.raises(InvalidSettings) as caught:
        import_authorizer("code_of_three:authorize")
    assert str(caught.value).startswith("SSE_AUTHORIZER: cannot import code_of_three:authorize: ")
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
