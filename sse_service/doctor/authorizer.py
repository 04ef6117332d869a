"""``authorizer``: one's own back end, or one's own code, that says who is behind a request."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sse_service.auth.authorizer.answer import AuthorizerFailure
from sse_service.auth.authorizer.callable import import_authorizer
from sse_service.auth.authorizer.calls import SECONDS
from sse_service.auth.authorizer.credentials import Credentials
from sse_service.auth.authorizer.request import CHECK_WAY, ask, open_session
from sse_service.doctor.report import Finding, fail, ok, warn
from sse_service.model.errors import Forbidden, InvalidSettings, InvalidToken

if TYPE_CHECKING:
    from sse_service.settings.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizerAnswer:
    """What the back end answered to a request without a cookie or an ``Authorization`` header."""

    status: int | None = None
    """200, 401 or 403; None if it did not answer as it must."""
    user: str = ""
    """The user that it named with a 200."""
    failure: AuthorizerFailure | None = None


async def check_authorizer(settings: Settings) -> list[Finding]:
    """Check the authorizer of the settings, if there is one."""
    if settings.authorizer_url is not None:
        return [check_answer(settings.authorizer_url, await _ask(settings.authorizer_url))]
    if settings.authorizer is not None:
        return [_check_code(settings.authorizer)]
    return []


async def _ask(url: str) -> AuthorizerAnswer:
    try:
        async with asyncio.timeout(SECONDS), open_session() as session:
            principal = await ask(session, url, Credentials("", ""))
    except InvalidToken:
        return AuthorizerAnswer(status=401)
    except Forbidden:
        return AuthorizerAnswer(status=403)
    except AuthorizerFailure as failure:
        return AuthorizerAnswer(failure=failure)
    except TimeoutError:
        return AuthorizerAnswer(failure=AuthorizerFailure(f"did not answer within {SECONDS:g} s", CHECK_WAY))
    return AuthorizerAnswer(status=200, user=principal.user)


def check_answer(url: str, answer: AuthorizerAnswer) -> Finding:
    """Check the answer. A request without credentials has no user, so 401 is right."""
    # A query may contain a key.
    url = url.partition("?")[0]
    if answer.failure is not None:
        return fail("authorizer", f"{url} {answer.failure.reason}", answer.failure.advice)
    if answer.status == 200:
        text = f"{url} lets everybody in: it names the user {answer.user[:200]} for a request without credentials"
        return fail("authorizer", text, "let it answer 401 to a request that is not signed in")
    if answer.status == 403:
        text = f"{url} answers 403 to a request without credentials"
        return warn("authorizer", text, "let it answer 401, and 403 only to a user who may not open a stream")
    return ok("authorizer", f"{url} answers 401 to a request without credentials")


def _check_code(name: str) -> Finding:
    try:
        import_authorizer(name)
    except InvalidSettings as error:
        return fail("authorizer", f"`serve` does not start: {error}", "correct it, or PYTHONPATH")
    return ok("authorizer", f"{name} is a coroutine function")
