"""Which token a tail uses."""

from __future__ import annotations

import io

import jwt
import pytest
from pydantic import SecretStr

from sse_service.model.errors import InvalidSettings, InvalidToken
from sse_service.settings.settings import Settings
from sse_service.tail.token import token_source

SECRET = "a-secret-of-the-tests-long-enough-for-HS256"


def test_each_token_for_a_user_is_a_new_one_that_the_service_accepts() -> None:
    settings = Settings(jwt_secret=(SecretStr(SECRET),), jwt_issuer="https://a", jwt_audience=("b",))
    token = token_source(None, settings, user="42", groups=["ops"])
    first, second = token(), token()
    assert first != second
    claims = jwt.decode(second, SECRET, ["HS256"], audience="b", issuer="https://a")
    assert (claims["sub"], claims["groups"]) == ("42", ["ops"])


def test_a_token_for_a_user_needs_the_secret() -> None:
    with pytest.raises(InvalidSettings, match="SSE_JWT_SECRET"):
        token_source(None, Settings(), user="42", groups=[])


def test_a_given_token_stays_the_same() -> None:
    token = token_source(" a.b.c ", Settings(), user=None, groups=[])
    assert token() == token() == "a.b.c"


def test_a_token_from_stdin_is_its_first_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("a.b.c\nrest\n"))
    assert token_source("-", Settings(), user=None, groups=[])() == "a.b.c"


@pytest.mark.parametrize("given", ["", " ", "a b", "a\nb", "ä", "a\x00"])
def test_what_fits_into_no_header_is_refused(given: str) -> None:
    with pytest.raises(InvalidToken, match="no token"):
        token_source(given, Settings(), user=None, groups=[])
