"""Say in a few words why a request got no answer."""

from __future__ import annotations

import aiohttp


def cause_of(error: Exception, host: str) -> str:
    """Name the cause why this host gave no answer. Nothing of the error's own text is used.

    It may contain the request's URL with its query, the proxy's URL with its password, and whatever a broken answer
    repeats: a user's cookie, for example.
    """
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return "its certificate is not valid or not trusted"
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            return "the proxy does not connect to it"
        case aiohttp.ClientConnectorDNSError() if error.host != host:
            return "the proxy's name cannot be looked up"
        case aiohttp.ClientConnectorDNSError():
            return "its name cannot be looked up"
        case aiohttp.ClientSSLError():
            return "the TLS handshake failed"
        case aiohttp.ClientConnectorError() if error.strerror:
            return "it cannot be reached"
        case aiohttp.ClientResponseError():
            return "what it sent is not HTTP"
        case aiohttp.InvalidURL():
            return "its URL, or that of the proxy, is not valid"
        case _:
            return "the connection failed"
