"""Find the proxy for a request: the one that calls to AWS use too."""

from __future__ import annotations

from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass


def proxy_for(url: str) -> str | None:
    """Return the proxy that ``HTTPS_PROXY`` or ``HTTP_PROXY`` names; None if there is none, or NO_PROXY has the host.

    aiohttp's ``trust_env`` would find it too. But it also adds the password of ``~/.netrc`` to a request without
    ``Authorization``. A provider's host must not get it, and an authorizer would take every user for its owner.
    """
    parts = urlsplit(url)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)
