"""Asking code of the operator's own: how it is called and imported."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import HTTPConnection

from sse_service.auth.authorizer.callable import CallableAuthorizer, import_authorizer
from sse_service.auth.authorizer.credentials import Credentials
from sse_service.model.errors import InvalidSettings, Overloaded
from sse_service.model.principal import Principal
from sse_service.telemetry.metrics import Metrics
from tests.unit.auth.authorizer.parts import ANSWER, PRINCIPAL, cookie, request, run


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


@pytest.mark.parametrize("raised", [SystemExit(3), KeyboardInterrupt(), BaseException("odd")])
def test_code_that_would_end_the_process_is_overload_and_logged(
    raised: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    async def authorize(_: HTTPConnection) -> None:
        raise raised

    with pytest.raises(Overloaded):
        by_code(authorize)
    [line] = caplog.records
    assert line.getMessage() == f"the authorizer failed with {type(raised).__name__}"
    assert line.exc_info is not None
    assert line.exc_info[1] is raised


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
