"""Which tokens are valid. A refusal names the invalid claim only if the signature is good."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_service.auth.tokens.claims import MAX_GROUPS, ClaimsReader
from sse_service.auth.tokens.hs256 import HS256Verifier
from sse_service.auth.tokens.signing import TokenSigner
from sse_service.model.errors import Forbidden, InvalidToken
from sse_service.model.principal import Principal

NEW, OLD, OTHER = "n" * 32, "ö" * 32, "x" * 32
NOW = int(time.time())
HEADER = '{"alg":"HS256","typ":"JWT"}'
CLAIMS: dict[str, Any] = {"sub": "42", "exp": NOW + 3600}

PUBLIC_KEY = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----"


def b64(text: str | bytes) -> str:
    return base64.urlsafe_b64encode(text.encode() if isinstance(text, str) else text).decode().rstrip("=")


def signed(payload: str, header: str = HEADER, *, secret: str = NEW, digest: str = "sha256") -> str:
    """Sign segments without checking their encoding."""
    text = f"{b64(header)}.{payload}"
    return f"{text}.{b64(hmac.digest(secret.encode(), text.encode(), digest))}"


def token(**claims: Any) -> str:
    return signed(b64(json.dumps({**CLAIMS, **claims})))


def verify(text: str, *, secrets: list[str] | None = None, issuer: str | None = None, **claims: Any) -> Principal:
    verifier = HS256Verifier(secrets=secrets or [NEW, OLD], issuer=issuer, claims=ClaimsReader(**claims))
    return asyncio.run(verifier.verify(text))


def names(text: str, **claims: Any) -> tuple[str, tuple[str, ...], int]:
    principal = verify(text, **claims)
    return principal.user, principal.groups, principal.expires


def refused(text: str, **options: Any) -> str:
    with pytest.raises(InvalidToken) as caught:
        verify(text, **options)
    return str(caught.value)


GOOD = jwt.encode(CLAIMS, NEW, algorithm="HS256")
_HEADER, PAYLOAD, SIGNATURE = GOOD.split(".")

ACCEPTED = {
    "PyJWT": GOOD,
    "second secret": jwt.encode(CLAIMS, OLD, algorithm="HS256"),
    "typ first": signed(PAYLOAD, '{"typ":"JWT","alg":"HS256"}'),
    "no typ": signed(PAYLOAD, '{"alg":"HS256"}'),
    "another typ": signed(PAYLOAD, '{"alg":"HS256","typ":"at+jwt"}'),
    "kid": signed(PAYLOAD, '{"alg":"HS256","kid":"1","typ":"JWT"}'),
    "spaces in the header": signed(PAYLOAD, '{"alg": "HS256", "typ": "JWT"}'),
    "spaces in the payload": signed(b64(json.dumps(CLAIMS, indent=1))),
    "a key twice": signed(b64(f'{{"sub":"1","sub":"42","exp":{NOW + 3600}}}')),
    "deep": signed(b64(f'{{"sub":"42","exp":{NOW + 9_999},"x":{"[" * 99}{"]" * 99}}}')),
    "padded": f"{GOOD}=",
    "huge": token(x="y" * 5000),
    "jti": token(jti="j"),
    "any issuer": token(iss="anyone"),
    **{f"aud {aud!r}": token(aud=aud) for aud in (None, "", [])},
    **{f"iat {iat!r}": token(iat=iat) for iat in ("x", None, [])},
    **{f"iat in {ahead} s": token(iat=NOW + ahead) for ahead in (5, 10**6)},
    **{f"exp {name}": token(exp=exp) for name, exp in (("fraction", NOW + 9_999.5), ("text", str(NOW + 9_999)))},
    **{f"nbf {name}": token(nbf=nbf) for name, nbf in (("past", NOW - 99.5), ("leeway", NOW + 50), ("text", "1"))},
}

UNSIGNED = {
    "nothing": "",
    "dots": "..",
    "two parts": f"{_HEADER}.{PAYLOAD}",
    "no signature": f"{_HEADER}.{PAYLOAD}.",
    "half a signature": GOOD[:-2],
    "four parts": f"{GOOD}.x",
    "four parts, signed": signed(f"{PAYLOAD}.x"),
    "payload not ASCII": f"{_HEADER}.é.{SIGNATURE}",
    "signature not ASCII": f"{_HEADER}.{PAYLOAD}.é",
    "half of a surrogate pair": f"{_HEADER}.{PAYLOAD}.\ud800",
    "a space after it": f"{GOOD} ",
    "a line end after it": f"{GOOD}\n",
    "padded twice": f"{GOOD}==",
    "padded header": f"{_HEADER}=.{PAYLOAD}.{SIGNATURE}",
    "signature with bits left over": f"{_HEADER}.{PAYLOAD}.{SIGNATURE[:-1]}{chr(ord(SIGNATURE[-1]) + 1)}",
    "payload of the other alphabet": signed(base64.b64encode(f'{{"exp":{NOW + 9_999},"s":"??>>"}}'.encode()).decode()),
    "payload with a space": signed(PAYLOAD[:8] + " " + PAYLOAD[8:]),
    "payload with a line end": signed(PAYLOAD[:8] + "\n" + PAYLOAD[8:]),
    "payload one character short": signed(PAYLOAD[:-1]),
    "another secret": signed(PAYLOAD, secret=OTHER),
    "another secret, expired": jwt.encode({**CLAIMS, "exp": 1}, OTHER, algorithm="HS256"),
    "another hash": signed(PAYLOAD, digest="sha512"),
    "another hash, as it says": signed(PAYLOAD, '{"alg":"HS512","typ":"JWT"}', digest="sha512"),
    "none": b64('{"alg":"none"}') + f".{PAYLOAD}.",
    **{
        f"header {header}": signed(PAYLOAD, header)
        for header in (
            *('{"alg":"none"}', '{"alg":"hs256"}', '{"alg":"RS256"}', '{"typ":"JWT"}', '{"alg":"HS256","alg":"none"}'),
            *('{"alg":"HS256","crit":["exp"],"exp":1}', '{"alg":"HS256","b64":false,"crit":["b64"]}'),
            *('{"alg":"HS256","kid":1}', "", "[]"),
        )
    },
}

NO_OBJECT = {
    "bits left over": signed(b64(b'{"exp":%d,"sub":"4"}  ' % (NOW + 9_999))[:-1] + "B"),
    "empty": signed(""),
    "a list": signed(b64("[]")),
    "no JSON": signed(b64("{")),
    "no UTF-8": signed(b64(b'{"sub":"\xff","exp":%d}' % (NOW + 9_999))),
    "too deep": signed(b64("[" * 100_000)),
    "too many digits": signed(b64(f'{{"sub":{"9" * 5000},"exp":{NOW + 9_999}}}')),
}

PADDED = ("", " ", "42 ", " 42", "42\n", "\t42", "42\u00a0", "\u3000")

WRONG_CLAIMS = [
    ("no exp claim", {"exp": None}),
    *(("expired (exp", {"exp": exp}) for exp in (NOW - 1, NOW, True, 0, -1)),
    *(("exp claim must be a number", {"exp": exp}) for exp in ("", "x", [], {}, float("inf"), float("nan"))),
    *(("milliseconds", {"exp": exp}) for exp in (NOW * 1000, 32_503_680_000, 10**400, 1e300)),
    *(("nbf claim is more than 60 s", {"nbf": nbf}) for nbf in (NOW + 86_400, NOW + 86_400.5, str(NOW + 86_400))),
    *(("nbf claim must be a number", {"nbf": nbf}) for nbf in (None, "x", [], float("inf"))),
    *(("SSE_JWT_AUDIENCE is not set", {"aud": aud}) for aud in ("a", 1, ["a"], {"a": 1})),
    *(("jti", {"jti": jti}) for jti in (None, 1, [], True)),
    ("has no sub claim", {"sub": None}),
    *(("sub claim must be the user", {"sub": sub}) for sub in (True, 1.5, [], {}, float("nan"), "\ud83d")),
    *(("sub claim must not be empty", {"sub": sub}) for sub in PADDED),
    *(("groups claim must be a list", {"groups": groups}) for groups in ("ops", 7, {"a": 1}, True)),
    *(("groups claim must be a list", {"groups": ["ops", group]}) for group in (None, True, 7.5, [], "\udfff")),
    *(("a group in the token's groups claim must not be empty", {"groups": ["ops", group]}) for group in PADDED),
]


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_valid_token_is_accepted(name: str) -> None:
    assert verify(ACCEPTED[name]).user == "42"


@pytest.mark.parametrize("name", UNSIGNED)
def test_a_token_without_a_good_signature_is_refused_without_a_reason(name: str) -> None:
    assert refused(UNSIGNED[name]) == ""


@pytest.mark.parametrize("name", NO_OBJECT)
def test_a_signed_payload_that_is_no_json_object_is_named(name: str) -> None:
    text = NO_OBJECT[name]
    assert refused(text) == "the token's payload is not a JSON object"
    assert refused(text, secrets=[OTHER]) == ""


@pytest.mark.parametrize(
    ("said", "claims"), WRONG_CLAIMS, ids=[f"{number} {said}" for number, (said, _) in enumerate(WRONG_CLAIMS)]
)
def test_the_refusal_of_a_signed_token_names_the_invalid_claim(said: str, claims: dict[str, Any]) -> None:
    assert said in refused(token(**claims))


@given(st.sampled_from([*ACCEPTED.values()]), st.data())
def test_a_token_that_was_tampered_with_is_refused(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(start + 3, len(text))))
    changed = text[:start] + data.draw(st.text("ABCz019-_=+/. \né", max_size=3)) + text[end:]
    # Padding at the end is not signed.
    if changed.rstrip("=") != text.rstrip("="):
        assert refused(changed) == ""


@pytest.mark.parametrize(
    ("said", "claims"),
    [
        ("no iss", {"aud": "a"}),
        *(("SSE_JWT_ISSUER", {"iss": iss, "aud": "a"}) for iss in ("j", "", None, 0, ["i"], {})),
        ("no aud", {"iss": "i"}),
        *(("no aud", {"iss": "i", "aud": aud}) for aud in ("", None, [])),
        *(("SSE_JWT_AUDIENCE", {"iss": "i", "aud": aud}) for aud in ("b", ["b"], ["a", 1], 1, {"a": 1})),
    ],
)
def test_issuer_and_audience_must_match_where_they_are_set(said: str, claims: dict[str, Any]) -> None:
    assert said in refused(token(**claims), issuer="i", audiences=["a"])


@pytest.mark.parametrize("audience", ["a", ["a"], ["b", "a"]])
def test_one_of_several_audiences_is_enough(audience: Any) -> None:
    assert verify(token(iss="i", aud=audience), issuer="i", audiences=["a"]).user == "42"


def test_user_and_groups_may_be_in_other_claims_which_refusals_name() -> None:
    claims = {"user_claim": "uid", "groups_claim": "roles"}
    assert names(token(uid="7", roles=["ops"]), **claims) == ("7", ("ops",), NOW + 3600)
    assert "uid claim" in refused(token(), **claims)
    assert "roles claim" in refused(token(uid="7", roles="ops"), **claims)


def test_a_token_without_the_users_claim_is_told_so() -> None:
    assert refused(token(), user_claim="uid") == "the token has no uid claim"


def test_white_space_inside_a_name_is_kept() -> None:
    assert names(token(sub="Ann B", groups=["on call"])) == ("Ann B", ("on call",), NOW + 3600)


def test_users_and_groups_may_be_integers() -> None:
    assert names(token(sub=7, groups=[8, "8", 10**30])) == ("7", ("8", str(10**30)), NOW + 3600)


@pytest.mark.parametrize("groups", [None, [], ""])
def test_a_token_may_have_no_groups(groups: Any) -> None:
    assert verify(token(groups=groups)).groups == ()


def test_more_than_a_hundred_groups_are_forbidden() -> None:
    groups = [str(number) for number in range(MAX_GROUPS + 1)]
    with pytest.raises(Forbidden, match="100 groups"):
        verify(token(groups=groups))
    assert len(verify(token(groups=groups[1:])).groups) == MAX_GROUPS


def test_the_verifier_accepts_tokens_of_the_signer() -> None:
    claims = {"user_claim": "uid", "groups_claim": "roles"}
    text = TokenSigner(secret=NEW, issuer="i", audience="a", **claims).sign(
        "42", groups=["b", "a", "b"], ttl_seconds=60
    )
    principal = verify(text, issuer="i", audiences=["a"], **claims)
    assert (principal.user, principal.groups) == ("42", ("b", "a"))
    assert 50 < principal.expires - time.time() <= 60


@pytest.mark.parametrize(
    ("secret", "why"),
    [
        ("short", "32 bytes"),
        ("x" * 31, "32 bytes"),
        (PUBLIC_KEY, "public key"),
    ],
)
def test_a_short_secret_and_a_public_key_are_refused(secret: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        HS256Verifier(secrets=[NEW, secret])
    with pytest.raises(ValueError, match=why):
        TokenSigner(secret=secret)


def test_at_least_one_secret_is_needed() -> None:
    with pytest.raises(ValueError, match="needed"):
        HS256Verifier(secrets=[])
