"""Which tokens of identity providers are accepted, and which key judges a token."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from sse_service.auth.claims import ClaimsReader
from sse_service.auth.discovery import FetchedKeys
from sse_service.auth.hs256 import HS256Verifier
from sse_service.auth.jwks import read_keys
from sse_service.auth.provider import Provider
from sse_service.auth.provider_tokens import ProviderVerifier
from sse_service.model.errors import InvalidToken, Overloaded
from sse_service.model.principal import Principal
from tests.unit.auth.signing_keys import ISSUER, SigningKey

OTHER_ISSUER = "https://other.example.com/"
SECRET = "s" * 32
ALGORITHMS = ["RS256", "ES256", "EdDSA"]
RSA = SigningKey("rsa")
EC = SigningKey("ec", algorithm="ES256")
ED = SigningKey("ed", algorithm="EdDSA")
OTHER = SigningKey("other", number=1)
SAME_KID = SigningKey("rsa", number=1)


class Setup:
    """A verifier over providers whose keys are known. It counts further fetches."""

    def __init__(
        self,
        *keys: SigningKey,
        others: list[SigningKey] | None = None,
        secrets: list[str] | None = None,
        audiences: tuple[str, ...] = ("push",),
        **claims: str,
    ) -> None:
        """``others`` are the keys of OTHER_ISSUER, which is given in SSE_JWT_ISSUER."""
        self.fetches = 0
        self.now = 0.0
        self._issuers = {ISSUER: ("SSE_OIDC_ISSUERS", keys or (RSA, EC, ED))}
        if others is not None:
            self._issuers[OTHER_ISSUER] = ("SSE_JWT_ISSUER", tuple(others))
        self._claims = ClaimsReader(audiences=audiences, **claims)
        self._shared_secrets = HS256Verifier(secrets=secrets, claims=self._claims) if secrets else None

    def _provider(self, issuer: str, setting: str, keys: Any) -> Provider:
        fetched = FetchedKeys(read_keys({"keys": [key.jwk for key in keys]}, algorithms=ALGORITHMS), None)

        async def fetch() -> FetchedKeys:
            self.fetches += 1
            return fetched

        return Provider(issuer=issuer, issuer_setting=setting, fetch=fetch, clock=lambda: self.now)

    def verify(self, token: str) -> Principal:
        """Verify with running providers, one hour after their first fetch."""

        async def body() -> Principal:
            providers = [self._provider(issuer, *named) for issuer, named in self._issuers.items()]
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(provider.run()) for provider in providers]
                await asyncio.sleep(0)
                self.fetches, self.now = 0, self.now + 3599
                try:
                    return await self._verifier(providers).verify(token)
                finally:
                    for task in running:
                        task.cancel()

        try:
            return asyncio.run(body())
        except* (InvalidToken, Overloaded) as group:
            raise group.exceptions[0] from None

    def _verifier(self, providers: list[Provider]) -> ProviderVerifier:
        return ProviderVerifier(
            providers=providers,
            algorithms=ALGORITHMS,
            claims=self._claims,
            shared_secrets=self._shared_secrets,
        )

    def unfetched(self) -> ProviderVerifier:
        """Return a verifier whose providers have no keys yet."""
        return self._verifier([self._provider(issuer, *named) for issuer, named in self._issuers.items()])

    def refused(self, token: str) -> InvalidToken:
        with pytest.raises(InvalidToken) as caught:
            self.verify(token)
        return caught.value

    def refused_unfetched(self, token: str) -> str:
        """Return the internal reason of a refusal that says nothing to the client, and causes no fetch."""
        error = self.refused(token)
        assert str(error) == ""
        assert self.fetches == 0
        return error.internal_reason


def b64(value: Any) -> str:
    data = value if isinstance(value, bytes) else (value if isinstance(value, str) else json.dumps(value)).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def with_header(header: Any, token: str | None = None) -> str:
    """Return a token whose header is replaced."""
    _, payload, signature = (token or RSA.sign()).split(".")
    return f"{b64(header)}.{payload}.{signature}"


# Tokens as providers make them


def test_a_token_of_keycloak_is_accepted_with_its_nested_roles() -> None:
    token = RSA.sign(
        **{"iat": int(time.time()), "jti": "onrtro:1", "aud": ["push", "account"], "typ": "Bearer", "azp": "spa"},
        sub="f:7",
        session_state="0b",
        acr="1",
        realm_access={"roles": ["ops", "offline_access"]},
        resource_access={"account": {"roles": ["view-profile"]}},
        scope="openid email",
    )
    principal = Setup(groups_claim="realm_access.roles").verify(token)
    assert (principal.user, principal.groups) == ("f:7", ("ops", "offline_access"))
    assert principal.issued is not None
    assert len(principal.credential) == 16


def test_a_token_of_cognito_is_accepted_by_its_client_id_and_groups() -> None:
    token = RSA.sign(
        **{"cognito:groups": ["ops"], "aud": None, "client_id": "app", "token_use": "access", "version": 2},
        **{"origin_jti": "a", "event_id": "b", "scope": "aws.cognito.signin.user.admin", "username": "ann"},
    )
    setup = Setup(audiences=("other", "app"), groups_claim="cognito:groups", user_claim="username")
    principal = setup.verify(token)
    assert (principal.user, principal.groups) == ("ann", ("ops",))


def test_a_token_of_auth0_is_accepted_with_a_claim_named_by_a_url() -> None:
    token = RSA.sign(
        **{"https://example.com/roles": ["ops"], "aud": ["push", "https://t.eu.auth0.com/userinfo"], "azp": "spa"},
        headers={"typ": "at+jwt"},
        sub="auth0|7",
    )
    principal = Setup(groups_claim="https://example.com/roles").verify(token)
    assert (principal.user, principal.groups) == ("auth0|7", ("ops",))


def test_a_token_of_entra_is_accepted() -> None:
    token = RSA.sign(
        headers={"x5t": "rsa", "nonce": None},
        **{"ver": "2.0", "oid": "0-1", "tid": "t", "roles": ["ops"], "nbf": int(time.time()), "aio": "A", "uti": "u"},
    )
    principal = Setup(user_claim="oid", groups_claim="roles").verify(token)
    assert (principal.user, principal.groups) == ("0-1", ("ops",))


@pytest.mark.parametrize("key", [RSA, EC, ED], ids=lambda key: key.algorithm)
@pytest.mark.parametrize("typ", [None, "", "JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "Application/JWT"])
def test_each_algorithm_and_type_of_an_access_token_is_accepted(key: SigningKey, typ: str | None) -> None:
    if typ == "":
        # PyJWT leaves an empty type out of the header.
        assert "typ" not in jwt.get_unverified_header(key.sign(headers={"typ": typ}))
    token = key.sign() if typ is None else key.sign(headers={"typ": typ})
    assert Setup().verify(token).user == "42"


def test_a_token_without_a_kid_is_accepted_if_its_issuer_has_one_key_for_its_algorithm() -> None:
    token = SigningKey(None).sign()
    assert Setup(RSA, EC).verify(token).user == "42"
    assert "several keys" in Setup(RSA, OTHER).refused_unfetched(token)


# Which key judges


def test_each_provider_signs_for_itself_alone_also_under_the_same_kid() -> None:
    setup = Setup(RSA, others=[SAME_KID])
    assert setup.verify(RSA.sign(iss=ISSUER)).user == "42"
    assert setup.verify(SAME_KID.sign(iss=OTHER_ISSUER)).user == "42"
    assert "another key" in setup.refused_unfetched(SAME_KID.sign(iss=ISSUER))
    assert "another key" in setup.refused_unfetched(RSA.sign(iss=OTHER_ISSUER))


def test_a_key_of_one_provider_is_unknown_to_another() -> None:
    setup = Setup(RSA, others=[OTHER])
    error = setup.refused(RSA.sign(iss=OTHER_ISSUER))
    assert str(error) == ""
    assert "has no key" in error.internal_reason
    assert setup.fetches == 1


def test_two_issuers_may_have_the_same_keys() -> None:
    setup = Setup(RSA, others=[RSA])
    assert setup.verify(RSA.sign(iss=ISSUER)).user == setup.verify(RSA.sign(iss=OTHER_ISSUER)).user == "42"


def test_all_keys_of_the_same_kid_are_tried() -> None:
    setup = Setup(RSA, SAME_KID)
    assert setup.verify(RSA.sign()).user == setup.verify(SAME_KID.sign()).user == "42"


@pytest.mark.parametrize(
    "iss", ["https://evil.example", ISSUER + "/", "", 7, ["x"], {}, None, ISSUER.upper(), f"{ISSUER}\u0000"]
)
def test_a_token_of_an_issuer_that_is_not_configured_causes_no_fetch(iss: Any) -> None:
    payload = b64({"iss": iss, "aud": "push", "sub": "42", "exp": int(time.time()) + 600})
    token = f"{b64({'alg': 'RS256', 'kid': 'unknown'})}.{payload}.AAAA"
    assert "iss claim" in Setup().refused_unfetched(token)


def test_an_unsigned_token_is_told_the_issuer_in_the_internal_reason_alone() -> None:
    reason = Setup(others=[OTHER]).refused_unfetched(SAME_KID.sign(iss="https://evil.example"))
    assert reason == ("the token's iss claim, 'https://evil.example', is not in SSE_JWT_ISSUER or SSE_OIDC_ISSUERS")


@pytest.mark.parametrize(("key", "setting"), [(RSA, "SSE_OIDC_ISSUERS"), (OTHER, "SSE_JWT_ISSUER")])
def test_a_signed_token_of_a_wrong_issuer_is_told_the_setting(key: SigningKey, setting: str) -> None:
    setup = Setup(RSA, others=[OTHER])
    error = setup.refused(key.sign(iss="https://wrong.example.com"))
    assert str(error) == f"the token's iss claim is not the issuer that {setting} names"
    assert setup.fetches == 0


@pytest.mark.parametrize(
    ("said", "claims"),
    [
        ("aud claim does not contain", {"aud": "other"}),
        ("aud claim does not contain", {"aud": ["other", 7]}),
        ("has no aud claim", {"aud": None}),
        ("client_id claim does not contain", {"aud": None, "client_id": "other"}),
        ("has no exp claim", {"exp": None}),
        ("has expired", {"exp": 1}),
        ("milliseconds", {"exp": int(time.time() * 1000)}),
        ("nbf claim is more than 60 s", {"nbf": int(time.time()) + 600}),
        ("token_use claim", {"token_use": "id"}),
        ("typ claim", {"typ": "ID"}),
        ("typ claim", {"typ": "Refresh"}),
        ("has no sub claim", {"sub": None}),
    ],
)
def test_the_refusal_of_a_signed_token_names_the_claim(said: str, claims: dict[str, Any]) -> None:
    assert said in str(Setup().refused(RSA.sign(**claims)))
    # Nothing is told before the signature holds.
    assert str(Setup().refused(SAME_KID.sign(**claims))) == ""


# HS256 beside providers


def test_tokens_of_ones_own_back_end_are_accepted_beside_those_of_a_provider() -> None:
    setup = Setup(secrets=[SECRET])
    claims = {"sub": "7", "aud": "push", "exp": int(time.time()) + 600}
    assert setup.verify(jwt.encode(claims, SECRET, "HS256")).user == "7"
    assert setup.verify(RSA.sign()).user == "42"
    assert str(setup.refused(jwt.encode(claims, "x" * 32, "HS256"))) == ""


def test_hs256_is_refused_without_a_shared_secret() -> None:
    token = jwt.encode({"iss": ISSUER, "aud": "push", "sub": "42", "exp": int(time.time()) + 600}, SECRET, "HS256")
    assert "SSE_JWT_SECRET is not set" in Setup().refused_unfetched(token)


def test_the_public_key_is_no_shared_secret() -> None:
    (public,) = read_keys({"keys": [RSA.jwk]}, algorithms=["RS256"]).for_algorithm("RS256")
    pem = public.key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    for secret in (pem, RSA.jwk["n"].encode(), json.dumps(RSA.jwk).encode()):
        signed = f"{b64({'alg': 'HS256', 'kid': 'rsa'})}.{RSA.sign().split('.')[1]}"
        digest = jwt.get_algorithm_by_name("HS256").sign(signed.encode(), secret)
        for setup in (Setup(), Setup(secrets=[SECRET])):
            setup.refused_unfetched(f"{signed}.{b64(digest)}")


# Attacks on the header


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", "rs256", "RS384", "PS256", "HS512", "ES384"])
def test_an_algorithm_that_is_not_allowed_is_refused(algorithm: str) -> None:
    for token in (RSA.sign(), RSA.sign().rpartition(".")[0] + "."):
        assert "alg" in Setup().refused_unfetched(with_header({"alg": algorithm, "kid": "rsa"}, token))


@pytest.mark.parametrize(
    "header",
    [
        *("", "x", "[]", "null", '"RS256"', "{", '{"alg":"RS256"', '{"kid":"rsa"}', "[" * 8000),
        *({"alg": algorithm, "kid": "rsa"} for algorithm in (None, 7, ["RS256"], {"RS256": 1}, True)),
        *({"alg": "RS256", "kid": kid} for kid in (7, ["rsa"], {"rsa": 1}, True, "k" * 257, "k" * 10_000)),
        *({"alg": "RS256", "kid": "rsa", "typ": typ} for typ in (None, 7, ["JWT"], "id+jwt", "logout+jwt", "JWE", "")),
        {"alg": "RS256", "kid": "rsa", "x5c": ["x" * 10_000]},
    ],
)
def test_a_header_that_is_malformed_is_refused(header: Any) -> None:
    assert Setup().refused_unfetched(with_header(header))


@pytest.mark.parametrize(
    "headers",
    [
        {"jku": "https://evil.example/keys"},
        {"x5u": "https://evil.example/cert"},
        {"jwk": SAME_KID.jwk},
        {"x5c": ["MIIB"]},
        {"iss": "https://evil.example", "aud": "x"},
    ],
)
def test_keys_that_a_token_brings_along_are_not_used(headers: dict[str, Any]) -> None:
    assert "another key" in Setup().refused_unfetched(SAME_KID.sign(headers=headers))
    assert Setup().verify(RSA.sign(headers=headers)).user == "42"


@pytest.mark.parametrize("headers", [{"crit": ["exp"], "exp": 1}, {"crit": []}, {"crit": "exp"}])
def test_an_extension_that_must_be_understood_is_refused(headers: dict[str, Any]) -> None:
    Setup().refused_unfetched(RSA.sign(headers=headers))


def test_a_payload_that_is_not_encoded_is_refused() -> None:
    Setup().refused_unfetched(with_header({"alg": "RS256", "kid": "rsa", "b64": False, "crit": ["b64"]}))


@pytest.mark.parametrize("kid", ["../../etc/passwd", "https://evil.example/k", "' OR 1=1 --", "rsa\u0000", "", "RSA"])
def test_a_kid_is_nothing_but_a_name(kid: str) -> None:
    setup = Setup()
    assert str(setup.refused(SigningKey(kid).sign())) == ""
    assert setup.fetches == 1


def test_an_encrypted_token_is_refused() -> None:
    header = b64({"alg": "RSA-OAEP", "enc": "A256GCM", "kid": "rsa"})
    assert "JWE" in Setup().refused_unfetched(f"{header}.a.b.c.d")


@pytest.mark.parametrize(
    "token", ["", ".", "..", "a.b", "a.b.c", "a.b.c.d", "é.é.é", "\ud800..", "." * 4, "." * 100_000]
)
def test_what_is_no_token_is_refused(token: str) -> None:
    assert Setup().refused_unfetched(token)


@pytest.mark.parametrize("payload", ["", "[]", "{", "[" * 10_000, '{"a":' * 10_000, "\udcff", '{"iss":NaN}'])
def test_a_payload_that_is_no_object_is_refused(payload: str) -> None:
    token = f"{b64({'alg': 'RS256', 'kid': 'rsa'})}.{b64(payload.encode(errors='surrogateescape'))}.AAAA"
    assert Setup().refused_unfetched(token)


# Attacks on the signature


def ec_signature(r: int, s: int) -> str:
    signed = EC.sign().rpartition(".")[0]
    return f"{signed}.{b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


@pytest.mark.parametrize(("r", "s"), [(0, 0), (0, 1), (1, 0), (2**256 - 1, 1)])
def test_an_ec_signature_with_a_zero_is_refused(r: int, s: int) -> None:
    Setup().refused_unfetched(ec_signature(r, s))


def test_the_second_form_of_an_ec_signature_is_the_same_credential() -> None:
    token = EC.sign()
    signed, _, signature = token.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    other = f"{signed}.{b64(r.to_bytes(32, 'big') + (order - s).to_bytes(32, 'big'))}"
    assert other != token
    assert Setup().verify(other).credential == Setup().verify(token).credential


def test_an_ec_signature_in_the_form_of_certificates_is_refused() -> None:
    signed, _, signature = EC.sign().rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    assert decode_dss_signature(der)
    Setup().refused_unfetched(f"{signed}.{b64(der)}")


@pytest.mark.parametrize("key", [RSA, EC, ED], ids=lambda key: key.algorithm)
def test_a_signature_that_is_changed_is_refused(key: SigningKey) -> None:
    signed, _, signature = key.sign().rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    for changed in (raw[:-1], raw + b"\0", b"\0" + raw, raw[:-1] + bytes([raw[-1] ^ 1]), b"", bytes(len(raw))):
        Setup().refused_unfetched(f"{signed}.{b64(changed)}")


# Keys that are not there


def test_without_keys_a_token_cannot_be_judged() -> None:
    verifier = Setup().unfetched()
    with pytest.raises(Overloaded):
        asyncio.run(verifier.verify(RSA.sign()))
    with pytest.raises(InvalidToken):
        asyncio.run(verifier.verify(RSA.sign(iss="https://evil.example")))
