"""The short way accepts nothing that PyJWT does not, and reads the same from what it accepts."""

from __future__ import annotations

import base64
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_service.auth.short_way import ShortWay
from sse_service.auth.tokens import Tokens

SECRETS = ["n" * 32, "ö" * 32, "o" * 40]
NOW = int(time.time())
HEAD = '{"alg":"HS256","typ":"JWT"}'
CLAIMS: dict[str, Any] = {"sub": "42", "exp": NOW + 3600}

CONFIGURED = [(issuer, audience) for issuer in (None, "", "i") for audience in (None, "", "a")]


def b64(text: str | bytes) -> str:
    return base64.urlsafe_b64encode(text.encode() if isinstance(text, str) else text).decode().rstrip("=")


def signed(payload: str, head: str = HEAD, *, secret: str = SECRETS[0], digest: str = "sha256") -> str:
    """Sign segments as they are, however they were encoded."""
    text = f"{b64(head)}.{payload}"
    return f"{text}.{b64(hmac.digest(secret.encode(), text.encode(), digest))}"


def token(head: str = HEAD, **claims: Any) -> str:
    return signed(b64(json.dumps({**CLAIMS, **claims})), head)


def theirs(text: str, issuer: str | None = None, audience: str | None = None) -> dict[str, Any] | None:
    """What PyJWT says, with what ``Tokens`` asks of it."""
    for secret in SECRETS:
        try:
            return jwt.decode(
                text,
                secret,
                algorithms=["HS256"],
                issuer=issuer,
                audience=audience,
                options={"require": ["exp"], "verify_sub": False, "verify_iat": False},
            )
        except jwt.InvalidSignatureError:
            continue
        except (jwt.InvalidTokenError, ValueError):
            break
    return None


def ours(text: str, issuer: str | None = None, audience: str | None = None) -> dict[str, Any] | None:
    return ShortWay(secrets=SECRETS, issuer=issuer, audience=audience).claims(text)


PLAIN = {
    "PyJWT": jwt.encode(CLAIMS, SECRETS[0], algorithm="HS256"),
    "second secret": jwt.encode(CLAIMS, SECRETS[1], algorithm="HS256"),
    "third secret": jwt.encode(CLAIMS, SECRETS[2], algorithm="HS256"),
    "typ first": token('{"typ":"JWT","alg":"HS256"}'),
    "no typ": token('{"alg":"HS256"}'),
    "groups": token(groups=["a", "ü"]),
    "begun": token(nbf=NOW - 1),
    "iat ahead": token(iat=NOW + 5),
    "jti": token(jti="j"),
    "issued": token(iss="anyone"),
    "null aud": token(aud=None),
    "spaces": signed(b64(json.dumps(CLAIMS, indent=1))),
    "huge": token(x="y" * 5000),
    "key twice": signed(b64(f'{{"sub":"1","sub":"42","exp":{NOW + 3600}}}')),
}

_GOOD = PLAIN["PyJWT"]
_HEADER, _PAYLOAD, _SIGNATURE = _GOOD.split(".")
_LEFT_OVER = _SIGNATURE[:-1] + chr(ord(_SIGNATURE[-1]) + 1)

ODD = {
    "nothing": "",
    "dots": "..",
    "two parts": f"{_HEADER}.{_PAYLOAD}",
    "no signature": f"{_HEADER}.{_PAYLOAD}.",
    "four parts": f"{_GOOD}.x",
    "four parts, signed": signed(f"{_PAYLOAD}.x"),
    "not ASCII": f"{_HEADER}.é.{_SIGNATURE}",
    "signature not ASCII": f"{_HEADER}.{_PAYLOAD}.é",
    "half of a pair": f"{_HEADER}.{_PAYLOAD}.\ud800",
    "a space behind": f"{_GOOD} ",
    "a line end behind": f"{_GOOD}\n",
    "padded signature": f"{_GOOD}=",
    "padded twice": f"{_GOOD}==",
    "padded payload": signed(_PAYLOAD + "=" * (-len(_PAYLOAD) % 4)),
    "signature with bits left over": f"{_HEADER}.{_PAYLOAD}.{_LEFT_OVER}",
    "payload with bits left over": signed(b64(b'{"exp":%d,"sub":"4"}  ' % (NOW + 99))[:-1] + "B"),
    "payload of the other alphabet": signed(base64.b64encode(f'{{"exp":{NOW + 99},"s":"??>>"}}'.encode()).decode()),
    "payload with a space": signed(_PAYLOAD[:8] + " " + _PAYLOAD[8:]),
    "payload with a line end": signed(_PAYLOAD[:8] + "\n" + _PAYLOAD[8:]),
    "payload with rubbish": signed(_PAYLOAD[:8] + "!" + _PAYLOAD[8:]),
    "payload one short": signed(_PAYLOAD[:-1]),
    "empty payload": signed(""),
    "signed by another": signed(_PAYLOAD, secret="x" * 32),
    "another hash": signed(_PAYLOAD, digest="sha512"),
    "another hash, as it says": signed(_PAYLOAD, '{"alg":"HS512","typ":"JWT"}', digest="sha512"),
    "none": b64('{"alg":"none"}') + f".{_PAYLOAD}.",
    "none, signed": signed(_PAYLOAD, '{"alg":"none"}'),
    "hs256": signed(_PAYLOAD, '{"alg":"hs256","typ":"JWT"}'),
    "RS256": signed(_PAYLOAD, '{"alg":"RS256","typ":"JWT"}'),
    "no alg": signed(_PAYLOAD, '{"typ":"JWT"}'),
    "alg twice": signed(_PAYLOAD, '{"alg":"HS256","alg":"none"}'),
    "crit": signed(_PAYLOAD, '{"alg":"HS256","crit":["exp"],"exp":1}'),
    "b64": signed(_PAYLOAD, '{"alg":"HS256","b64":false,"crit":["b64"]}'),
    "kid": signed(_PAYLOAD, '{"alg":"HS256","kid":"1","typ":"JWT"}'),
    "kid, a number": signed(_PAYLOAD, '{"alg":"HS256","kid":1,"typ":"JWT"}'),
    "other typ": signed(_PAYLOAD, '{"alg":"HS256","typ":"at+jwt"}'),
    "spaces in the header": signed(_PAYLOAD, '{"alg": "HS256", "typ": "JWT"}'),
    "no header": signed(_PAYLOAD, ""),
    "header, a list": signed(_PAYLOAD, "[]"),
    "padded header": f"{_HEADER}=.{_PAYLOAD}.{_SIGNATURE}",
    "payload, a list": signed(b64("[]")),
    "payload, null": signed(b64("null")),
    "payload, no JSON": signed(b64("{")),
    "payload, deep": signed(b64("[" * 100_000)),
    # Here the decoders' limits lie, which differ
    **{f"claim {depth} deep": signed(b64(f'{{"sub":"4","exp":{NOW + 99},"x":{"[" * depth}{"]" * depth}}}'))
       for depth in (99, 100, 980, 990, 1000, 1010, 1023, 1024)},
    "payload, UTF-16": signed(b64(json.dumps(CLAIMS).encode("utf-16"))),
    "payload, BOM": signed(b64(json.dumps(CLAIMS).encode("utf-8-sig"))),
    "payload, no UTF-8": signed(b64(b'{"sub":"\xff","exp":%d}' % (NOW + 99))),
    "NaN": signed(b64(f'{{"sub":NaN,"exp":{NOW + 99}}}')),
    "too many digits": signed(b64(f'{{"sub":{"9" * 5000},"exp":{NOW + 99}}}')),
    "no claims": signed(b64("{}")),
    **{f"exp {number}": token(exp=exp) for number, exp in enumerate((
        NOW - 1, NOW, NOW + 99.5, str(NOW + 99), None, True, 0, -1, "", "x", [], {}, 10**18, 10**400, 1e300,
        float("inf"), float("nan"),
    ))},
    **{f"nbf {number}": token(nbf=nbf) for number, nbf in enumerate((
        NOW + 99, NOW + 99.5, NOW - 99.5, str(NOW - 99), str(NOW + 99), None, True, "x", [], float("inf"), -1,
    ))},
    **{f"aud {aud!r}": token(aud=aud) for aud in (
        "a", "b", "", None, 0, 1, False, [], ["a"], ["b"], ["b", "a"], ["a", 1], {}, {"a": 1},
    )},
    **{f"iss {iss!r}": token(iss=iss) for iss in ("i", "j", "", None, 0, 1, ["i"], {}, True)},
    **{f"iss and aud {pair}": token(iss=pair[0], aud=pair[1]) for pair in ("ia", "ib", "ja")},
    **{f"jti {jti!r}": token(jti=jti) for jti in ("", None, 1, [], True)},
    **{f"sub {sub!r}": token(sub=sub) for sub in ("", None, 1, 10**30, 1.5, [], True, "\ud83d")},
    **{f"iat {number}": token(iat=iat) for number, iat in enumerate(("x", None, [], NOW + 99))},
}  # fmt: skip


@pytest.mark.parametrize("name", [*PLAIN, *ODD])
def test_what_it_accepts_is_what_pyjwt_accepts(name: str) -> None:
    text = {**PLAIN, **ODD}[name]
    for issuer, audience in CONFIGURED:
        if (claims := ours(text, issuer, audience)) is not None:
            assert claims == theirs(text, issuer, audience)


@pytest.mark.parametrize("name", PLAIN)
def test_what_nearly_everyone_sends_is_accepted(name: str) -> None:
    assert ours(PLAIN[name]) == theirs(PLAIN[name]) != None  # noqa: E711  both are claims


def test_so_is_what_names_the_issuer_and_the_audience() -> None:
    text = token(iss="i", aud="a")
    assert ours(text, "i", "a") == theirs(text, "i", "a") != None  # noqa: E711  as above


@given(st.sampled_from([*PLAIN.values()]), st.data())
def test_a_token_that_was_tampered_with_is_accepted_where_pyjwt_accepts_it(text: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text)))
    until = data.draw(st.integers(at, min(at + 3, len(text))))
    changed = text[:at] + data.draw(st.text("ABCz019-_=+/. \né", max_size=3)) + text[until:]
    assert ours(changed) in (None, theirs(changed))


@pytest.mark.parametrize("secret", ["-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----", '{"kty":"oct"}' * 3])
def test_a_secret_that_is_refused_by_pyjwt_is_refused_here(secret: str) -> None:
    try:
        jwt.encode(CLAIMS, secret, algorithm="HS256")
    except jwt.InvalidKeyError:
        with pytest.raises(ValueError, match="key"):
            Tokens(secrets=[secret])
    else:
        assert Tokens(secrets=[secret])
