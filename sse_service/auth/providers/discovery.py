"""Find an issuer's keys: by OpenID Connect Discovery 1.0, or at a URL that the operator names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from yarl import URL

from sse_service.auth.outbound.addresses import is_loopback
from sse_service.auth.outbound.fetch import FetchError, fetch_json
from sse_service.auth.providers.key_set import KeySet, read_keys

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sse_service.auth.outbound.fetch import Document


@dataclass(frozen=True, slots=True)
class FetchedKeys:
    """An issuer's keys, and how long the issuer wants them to be kept."""

    keys: KeySet
    max_age: int | None
    """Seconds; None if the issuer does not say."""


@dataclass(slots=True)
class FetchRecord:
    """What was asked for on the way to an issuer's keys, for commands that explain it to the operator."""

    url: str = ""
    """What was asked for last. Without the query, which may contain a key."""
    of_keys: bool = False
    """Whether that is the URL of the keys, and not of the discovery document."""
    dated: Document | None = None
    """The last document with a date."""

    def asks(self, url: str, *, of_keys: bool) -> None:
        """Note what is asked for next."""
        self.url, self.of_keys = url.partition("?")[0], of_keys

    def got(self, document: Document) -> None:
        """Note what was fetched."""
        if document.date:
            self.dated = document


async def fetch_keys(
    *, issuer: str, keys_url: str | None, algorithms: Collection[str], record: FetchRecord | None = None
) -> FetchedKeys:
    """Fetch an issuer's keys. Without ``keys_url``, the issuer's discovery document names it.

    Raises FetchError.
    """
    record = record or FetchRecord()
    if keys_url is None:
        url = discovery_url(issuer)
        record.asks(url, of_keys=False)
        found, document = await fetch_json(url)
        record.got(document)
        try:
            keys_url = keys_url_of(found, issuer=issuer)
        except ValueError as error:
            raise FetchError(URL(issuer).host or "", str(error)) from None
    record.asks(keys_url, of_keys=True)
    found, document = await fetch_json(keys_url)
    record.got(document)
    try:
        return FetchedKeys(read_keys(found, algorithms=algorithms), document.max_age)
    except ValueError as error:
        raise FetchError(URL(keys_url).host or "", str(error)) from None


def discovery_url(issuer: str) -> str:
    """Return where the issuer's discovery document is (OpenID Connect Discovery 1.0 section 4.1)."""
    return issuer.removesuffix("/") + "/.well-known/openid-configuration"


def keys_url_of(document: Mapping[str, Any], *, issuer: str) -> str:
    """Return where the keys are, by the discovery document.

    The document's issuer must be the same to the letter (section 4.3), or a provider could speak for another one.
    Its keys may be on another host, as those of Google and Cognito are.

    Raises ValueError with a short text.
    """
    named = document.get("issuer")
    if not isinstance(named, str) or named != issuer:
        if isinstance(named, str) and named.removesuffix("/") == issuer.removesuffix("/"):
            ends = "ends" if named.endswith("/") else "does not end"
            raise ValueError(f"the issuer in its discovery document {ends} with a slash: correct SSE_OIDC_ISSUERS")
        raise ValueError("its discovery document names another issuer")
    url = document.get("jwks_uri")
    if not isinstance(url, str):
        raise ValueError("its discovery document has no jwks_uri")
    try:
        # The same parser as in fetch.py, so that both see the same host.
        parts = URL(url)
    except ValueError:
        raise ValueError("the jwks_uri in its discovery document is not a URL") from None
    local = is_loopback(parts.host or "")
    if parts.scheme != "https" and not (parts.scheme == "http" and local):
        raise ValueError("the jwks_uri in its discovery document must use https")
    if local and not is_loopback(URL(issuer).host or ""):
        raise ValueError("the jwks_uri in its discovery document leads to this machine")
    return url
