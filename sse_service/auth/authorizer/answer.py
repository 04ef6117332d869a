"""Read a Principal from an authorizer's answer: ``{"user": "42", "groups": ["ops"], "expires_in": 900}``."""

from __future__ import annotations

from collections.abc import Mapping

from sse_service.auth.tokens.claims import MAX_GROUPS, as_name, is_trimmed
from sse_service.model.errors import Forbidden
from sse_service.model.principal import Principal

MAX_NAME_BYTES = 1024
"""Limit of a user's or group's name. Channels and logs contain it."""

MAX_EXPIRES_IN = 400 * 86_400
"""Limit of ``expires_in``, in seconds. No browser keeps a cookie longer. A larger number is a time in milliseconds, or
counts from 1970."""

NOT_SIGNED_IN = "the application says that this request is not signed in: sign in, then open the stream again"
NOT_ALLOWED = "the application does not allow this user to open a stream"

MUST_REFUSE = "it must answer 401 to a request that is not signed in"


class AuthorizerFailure(Exception):  # noqa: N818  the word of its log line
    """The authorizer did not say who sent a request.

    The texts are written after "the authorizer". ``reason`` is public, and one of few: each is logged once. ``advice``
    says what to do. Of the answer they contain at most the status, and of an exception at most the type's name:
    anything else may repeat a secret of the request.
    """

    def __init__(
        self, reason: str, advice: str = "", *, of_request: bool = False, error: BaseException | None = None
    ) -> None:
        """``of_request`` means that only this request is at fault, so others may get an answer.

        ``error`` is what the operator's own code raised. Its traceback is logged.
        """
        super().__init__(reason, advice)
        self.reason = reason
        self.advice = advice
        self.of_request = of_request
        self.error = error


def principal_of(answer: object, *, issued: float, credential: bytes) -> Principal:
    """Return the user that an answer names. ``issued`` is when the authorizer was asked.

    The user is renewable: when ``expires_in`` is over, the authorizer decides anew about the same credential.

    Raises AuthorizerFailure, and Forbidden for too many groups.
    """
    if not isinstance(answer, Mapping):
        raise AuthorizerFailure("gave an answer that is no JSON object", 'it must be as {"user":"42","expires_in":900}')
    expires_in = answer.get("expires_in")
    # NaN fails the comparison too.
    if not isinstance(expires_in, int | float) or isinstance(expires_in, bool) or not 0 < expires_in <= MAX_EXPIRES_IN:
        raise AuthorizerFailure(
            "gave no expires_in, or one that is no number of seconds",
            f"it must be a number above 0 and at most {MAX_EXPIRES_IN}, 400 days",
        )
    return Principal(_user(answer), _groups(answer), int(issued + expires_in), issued, credential, renewable=True)


def _user(answer: Mapping[str, object]) -> str:
    given = answer.get("user")
    if given is None:
        raise AuthorizerFailure("named no user", MUST_REFUSE)
    user = as_name(given)
    if user is None or not _is_usable(user):
        raise AuthorizerFailure(
            "named a user that is no string or integer, is empty, has white space around it, or is too long",
            f"it must have at most {MAX_NAME_BYTES} bytes",
        )
    return user


def _groups(answer: Mapping[str, object]) -> tuple[str, ...]:
    given = answer.get("groups")
    if given is None:
        return ()
    if isinstance(given, list | tuple):
        if len(given) > MAX_GROUPS:
            raise Forbidden(f"the application names more than {MAX_GROUPS} groups for this user")
        names = [name for name in map(as_name, given) if name is not None and _is_usable(name)]
        if len(names) == len(given):
            return tuple(dict.fromkeys(names))
    raise AuthorizerFailure(
        "gave groups that are no list of names",
        "each must be a string or an integer, not empty, without white space around it, and at most "
        f"{MAX_NAME_BYTES} bytes long",
    )


def _is_usable(name: str) -> bool:
    return is_trimmed(name) and len(name.encode()) <= MAX_NAME_BYTES
