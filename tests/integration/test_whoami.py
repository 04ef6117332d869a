"""`whoami` in a shell: how tokens are judged, why, and that nothing secret is printed."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Iterator

import jwt
import pytest

from tests.integration.chain import SECRET
from tests.integration.fixed_answers import Answer, FixedProvider, provider
from tests.integration.test_cli import command

NESTED_ALG = b'{"alg":' + b"[" * 1000 + b"]" * 1000 + b"}"
OTHER = "another-secret-of-the-tests-long-enough-for-HS256"


@pytest.fixture
def openid() -> Iterator[FixedProvider]:
    with provider() as made:
        yield made


def b64(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def whoami(token: str, *, stdin: bool = False, **env: str) -> tuple[int, list[str]]:
    """Run the command. Return its exit status and its lines, after checking that they hold nothing of the token."""
    ended = command("whoami", "-", stdin=token, **env) if stdin else command("whoami", token, **env)
    assert ended.stderr == ""
    out = ended.stdout
    parts = [part for part in token.strip().removeprefix("Bearer ").split(".") if len(part) > 8]
    for hidden in (*parts, SECRET, OTHER):
        assert hidden not in out
    assert all(char == "\n" or char.isprintable() for char in out)
    return ended.returncode, out.splitlines()


def hs256(secret: str = SECRET, **claims: object) -> str:
    return jwt.encode({"sub": "42", "exp": int(time.time()) + 870, **claims}, secret, algorithm="HS256")


def test_a_token_of_a_shared_secret_is_accepted() -> None:
    status, lines = whoami(hs256(groups=["ops", "admin"]), SSE_JWT_SECRET=SECRET)
    assert status == 0
    assert lines[0] == "accepted: user 42, groups ops, admin"
    assert "judged by   SSE_JWT_SECRET" in lines
    assert any(line.startswith("expires     in 14 min (") for line in lines)
    assert any(line.startswith("a stream    that opens now ends in 14 min with the token") for line in lines)
    assert any("revoked     not looked at" in line for line in lines)


def test_the_token_may_come_from_stdin_as_it_was_copied() -> None:
    status, lines = whoami(f"Bearer {hs256()}\n", stdin=True, SSE_JWT_SECRET=SECRET)
    assert (status, lines[0]) == (0, "accepted: user 42, no groups")


def test_token_and_whoami_agree() -> None:
    token = command("token", "42", "--groups", "a,b", SSE_JWT_SECRET=SECRET).stdout
    assert whoami(token, stdin=True, SSE_JWT_SECRET=SECRET)[1][0] == "accepted: user 42, groups a, b"


def test_another_secret_is_refused_with_what_the_token_claims() -> None:
    status, lines = whoami(hs256(OTHER, iss="https://a.example"), SSE_JWT_SECRET=SECRET)
    assert status == 1
    assert lines[0] == "refused: the signature is not valid: the token was signed with another key"
    assert "issuer      https://a.example (only claimed)" in lines
    assert "user        42 (sub)" in lines
    assert any("a secret that is not in SSE_JWT_SECRET" in line for line in lines)


def test_an_expired_token_says_since_when() -> None:
    status, lines = whoami(hs256(exp=int(time.time()) - 190), SSE_JWT_SECRET=SECRET)
    assert (status, lines[0]) == (1, "refused: the token has expired (exp claim): get a new one")
    assert any(line.startswith("expires     3 min ago (") for line in lines)


def test_a_token_cannot_write_to_the_terminal() -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\naccepted: user admin"
    header = b64({"alg": "RS256", "kid": evil})
    for claims in ({"iss": evil, "sub": evil, "aud": [evil], "exp": evil, "iat": evil, "nbf": evil}, {"iss": evil}):
        token = f"{header}.{b64(claims)}.c2ln"
        for env in ({"SSE_JWT_SECRET": SECRET}, {"SSE_OIDC_ISSUERS": "https://a.example", "SSE_JWT_AUDIENCE": "x"}):
            status, lines = whoami(token, **env)
            assert status == 1
            assert lines[0].startswith("refused: ")
            assert not any(line.startswith("accepted") for line in lines)


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "a.b.c.d.e",
        "...",
        f"{b64({'alg': 'none'})}.{b64({'sub': '1'})}.",
        f"{b64({'alg': ['HS256']})}.{b64([])}.x",
        f"{base64.urlsafe_b64encode(NESTED_ALG).decode()}.{b64({'iss': 'https://a.example'})}.x",
        f"{b64({'alg': 'HS256'})}.{base64.urlsafe_b64encode(b'[' * 20_000).decode()}.x",
        "\u202e.é.x",
        "y" * 100_000,
    ],
)
def test_anything_that_is_no_good_token_is_refused_without_a_traceback(token: str) -> None:
    for env in ({"SSE_JWT_SECRET": SECRET}, {"SSE_OIDC_ISSUERS": "https://a.example", "SSE_JWT_AUDIENCE": "x"}):
        status, lines = whoami(token, **env)
        assert status == 1
        assert lines[0].startswith("refused: ")
        assert any(line.startswith("hint ") for line in lines)


def test_a_token_of_a_provider_is_judged_by_its_keys(openid: FixedProvider) -> None:
    status, lines = whoami(openid.token(groups=["ops"]), **openid.environment)
    assert (status, lines[0]) == (0, "accepted: user 42, groups ops")
    assert f"issuer      {openid.issuer} (verified)" in lines
    assert "judged by   SSE_OIDC_ISSUERS" in lines
    assert [path for path, _ in openid.site.asked] == ["/.well-known/openid-configuration", "/keys"]


def test_keys_without_discovery_are_fetched_from_their_url(openid: FixedProvider) -> None:
    env = {"SSE_JWKS_URL": f"{openid.issuer}/keys", "SSE_JWT_ISSUER": openid.issuer, "SSE_JWT_AUDIENCE": "push"}
    status, lines = whoami(openid.token(), **env)
    assert status == 0
    assert "judged by   SSE_JWKS_URL, by SSE_JWT_ISSUER" in lines
    assert [path for path, _ in openid.site.asked] == ["/keys"]


def test_an_unknown_key_is_refused_with_the_ids_of_the_known_ones(openid: FixedProvider) -> None:
    status, lines = whoami(openid.token(kid="key-0"), **openid.environment)
    assert (status, lines[0]) == (1, "refused: its issuer has no key with the id key-0")
    assert "hint        the provider has keys with these ids now: key-1" in lines


def test_a_key_id_that_is_no_text_is_refused(openid: FixedProvider) -> None:
    token = f"{b64({'alg': 'RS256', 'kid': {'a': 1}})}.{b64({'iss': openid.issuer})}.c2ln"
    status, lines = whoami(token, **openid.environment)
    assert (status, lines[0].partition(":")[0]) == (1, "refused")
    assert "hint        the provider has keys with these ids now: key-1" in lines


def test_the_query_of_the_keys_url_is_not_shown_because_it_may_contain_a_key(openid: FixedProvider) -> None:
    env = {"SSE_JWKS_URL": f"{openid.issuer}/no?key=a-secret-key", "SSE_JWT_ISSUER": openid.issuer}
    _, lines = whoami(openid.token(), SSE_JWT_AUDIENCE="push", **env)
    assert lines[0].endswith(f"it answered 404 ({openid.issuer}/no)")
    assert "a-secret-key" not in "\n".join(lines)


def test_a_provider_that_is_away_decides_nothing(openid: FixedProvider) -> None:
    openid.site.answers["/keys"] = Answer(status=502)
    status, lines = whoami(openid.token(), **openid.environment)
    assert status == 1
    assert (
        lines[0]
        == f"cannot be decided now: the keys of its issuer cannot be fetched: it answered 502 ({openid.issuer}/keys)"
    )


def test_a_provider_that_does_not_answer_is_given_up_after_5_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        issuer = f"http://127.0.0.1:{silent.getsockname()[1]}"
        token = f"{b64({'alg': 'RS256', 'kid': 'k'})}.{b64({'iss': issuer})}.c2ln"
        status, lines = whoami(token, SSE_OIDC_ISSUERS=issuer, SSE_JWT_AUDIENCE="push")
    assert status == 1
    assert lines[0].startswith("cannot be decided now: ")
    assert "no complete answer within 5 s" in lines[0]


def test_nothing_is_fetched_for_an_issuer_that_only_the_token_names(openid: FixedProvider) -> None:
    env = {"SSE_OIDC_ISSUERS": "https://a.example", "SSE_JWT_AUDIENCE": "push"}
    status, lines = whoami(openid.token(), **env)
    assert status == 1
    assert lines[0].startswith("refused: the token's iss claim")
    assert openid.site.asked == []


def test_a_slash_at_the_end_of_the_issuer_is_named(openid: FixedProvider) -> None:
    _, lines = whoami(openid.token(iss=f"{openid.issuer}/"), **openid.environment)
    assert any("the slash at the end must be the same" in line for line in lines)


def test_an_id_token_is_recognized_by_its_audience(openid: FixedProvider) -> None:
    status, lines = whoami(openid.token(aud="client-1", nonce="n"), **openid.environment)
    assert status == 1
    assert "does not contain an audience" in lines[0]
    assert any("it is an ID token" in line for line in lines)


def test_a_clock_that_is_off_is_named(openid: FixedProvider) -> None:
    openid.site.answers["/keys"] = Answer(openid.site.answers["/keys"].body, ahead=120)
    openid.site.answers["/.well-known/openid-configuration"] = Answer(
        openid.site.answers["/.well-known/openid-configuration"].body, ahead=120
    )
    _, lines = whoami(openid.token(nbf=int(time.time()) + 119), **openid.environment)
    assert "nbf claim is more than 60 s in the future" in lines[0]
    assert any("behind the provider's: synchronize it with NTP" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "env", "text"),
    [
        (["x"], {}, "SSE_JWT_SECRET, SSE_OIDC_ISSUERS, SSE_JWKS_URL: one of them must be set"),
        (["x"], {"SSE_AUTHORIZER_URL": "http://127.0.0.1:1/who"}, "one of them must be set"),
        (["x"], {"SSE_JWT_SECRET": "short"}, "SSE_JWT_SECRET: "),
        ([" "], {"SSE_JWT_SECRET": SECRET}, "there is no token"),
        (["-"], {"SSE_JWT_SECRET": SECRET}, "there is no token"),
        ([], {"SSE_JWT_SECRET": SECRET}, "TOKEN"),
    ],
)
def test_wrong_usage_and_settings_exit_with_2(arguments: list[str], env: dict[str, str], text: str) -> None:
    ended = command("whoami", *arguments, **env)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert text in ended.stderr
    assert "Traceback" not in ended.stderr
