"""A small OpenID provider: authorization code with PKCE, refresh tokens, revocation, discovery and keys.

``python -m tests.identity.provider DIRECTORY --port 0`` runs it as a process. It serves several issuers, each at a path
of its own. It reads what they are from ``provider.json`` for each request, so that tests change it while it runs, and
appends each request, with its time, to ``requests.log``. ``tests/identity/provider_process.py`` writes the one and
reads the other.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import html
import json
import secrets
import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jwt
from aiohttp import web

from tests.identity.keys import SigningKey
from tests.identity.tokens import claims_of, token

CLIENT = "push-page"
USERS = {"ann": "correct horse", "bob": "battery staple"}

FORM = """<!doctype html><title>Sign in</title><link rel="icon" href="data:,"><h1>Sign in</h1><form method="post">
<p><label>User <input name="user" autofocus></label><p><label>Password <input name="password" type="password"></label>
<p><button>Sign in</button> {0}</form>"""


class Provider:
    """The endpoints.

    When the process ends, only this is lost: codes that were not redeemed yet, who is signed in, and which refresh
    tokens were revoked.
    """

    def __init__(self, directory: Path, origin: str) -> None:
        self._directory = directory
        self._origin = origin
        self._codes: dict[str, dict[str, str]] = {}
        self._sessions: dict[str, str] = {}
        self._revoked: set[str] = set()

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._record])
        app.router.add_get("/{issuer}/.well-known/openid-configuration", self.discovery)
        app.router.add_get("/{issuer}/keys", self.keys)
        app.router.add_get("/{issuer}/authorize", self.authorize)
        app.router.add_post("/{issuer}/authorize", self.sign_in)
        app.router.add_post("/{issuer}/token", self.token)
        app.router.add_post("/{issuer}/revoke", self.revoke)
        return app

    @web.middleware
    async def _record(self, request: web.Request, handler: Any) -> web.StreamResponse:
        with (self._directory / "requests.log").open("a") as log:
            log.write(f"{time.time()} {request.method} {request.path}\n")
        response: web.StreamResponse = await handler(request)
        return response

    async def discovery(self, request: web.Request) -> web.StreamResponse:
        issuer = self._url(request)
        document = {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
            "revocation_endpoint": f"{issuer}/revoke",
            "jwks_uri": f"{issuer}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256"],
            "code_challenge_methods_supported": ["S256"],
        }
        return await self._answer(request, "discovery", document)

    async def keys(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, "keys", {"keys": [key.jwk for key in self._keys(request)]})

    async def _answer(self, request: web.Request, name: str, document: dict[str, Any]) -> web.StreamResponse:
        """Answer with the document, or with what the test wants instead."""
        state = self._state(request)
        instead = state["instead"].get(name)
        if instead is None:
            # A page reads the discovery document, so other origins may.
            allowed = {"Cache-Control": f"public, max-age={state['max_age']}", "Access-Control-Allow-Origin": "*"}
            return web.json_response(document, headers=allowed)
        body = instead["body"].encode()
        response = web.StreamResponse(status=instead["status"], headers=instead["headers"])
        await response.prepare(request)
        if not instead["drip"]:
            await response.write(body)
            return response
        for byte in body:
            await response.write(bytes([byte]))
            await asyncio.sleep(instead["drip"])
        return response

    async def authorize(self, request: web.Request) -> web.Response:
        """Show the form, or send a user who is signed in back at once (RFC 6749 section 4.1.1)."""
        query = request.query
        wanted = {"response_type": "code", "client_id": CLIENT, "code_challenge_method": "S256"}
        if any(query.get(name) != value for name, value in wanted.items()) or not query.get("code_challenge"):
            return web.Response(status=400, text="this needs a code flow with PKCE S256")
        if query.get("redirect_uri") not in self._state(request)["redirect_uris"]:
            return web.Response(status=400, text="this redirect_uri is not registered")
        user = self._sessions.get(request.cookies.get("provider_session", ""))
        return self._form() if user is None else self._back(request, user)

    async def sign_in(self, request: web.Request) -> web.Response:
        form = await request.post()
        user = str(form.get("user"))
        if USERS.get(user) != form.get("password"):
            return self._form("The user or the password is wrong.")
        session = secrets.token_urlsafe()
        self._sessions[session] = user
        response = self._back(request, user)
        response.set_cookie("provider_session", session, httponly=True, samesite="Lax")
        return response

    def _form(self, text: str = "") -> web.Response:
        return web.Response(text=FORM.format(html.escape(text)), content_type="text/html")

    def _back(self, request: web.Request, user: str) -> web.Response:
        query = request.query
        code = secrets.token_urlsafe()
        self._codes[code] = {"user": user, "challenge": query["code_challenge"], "redirect_uri": query["redirect_uri"]}
        answer = urlencode({"code": code, "state": query.get("state", "")})
        return web.Response(status=303, headers={"Location": f"{query['redirect_uri']}?{answer}"})

    async def token(self, request: web.Request) -> web.Response:
        """Redeem a code (RFC 7636 section 4.6) or a refresh token."""
        form = await request.post()
        has_code = form.get("grant_type") == "authorization_code"
        user = self._redeemed(form) if has_code else self._refreshed(request, form)
        if user is None:
            return self._for_page(request, {"error": "invalid_grant"}, status=400)
        issuer, key, seconds = self._url(request), self._keys(request)[0], self._state(request)["token_seconds"]
        access = claims_of(issuer, user, seconds=seconds, jti=secrets.token_hex(8))
        identity = claims_of(issuer, user, seconds=seconds, aud=CLIENT, token_use="id")
        refresh = claims_of(issuer, user, seconds=86_400, aud=issuer, typ="Refresh", jti=secrets.token_hex(8))
        answer = {
            "access_token": token(key, access),
            "id_token": token(key, identity),
            "refresh_token": token(key, refresh),
            "token_type": "Bearer",
            "expires_in": seconds,
        }
        return self._for_page(request, answer)

    def _redeemed(self, form: Any) -> str | None:
        code = self._codes.pop(str(form.get("code")), None)
        challenge = hashlib.sha256(str(form.get("code_verifier")).encode()).digest()
        proof = base64.urlsafe_b64encode(challenge).decode().rstrip("=")
        if code is None or proof != code["challenge"] or form.get("redirect_uri") != code["redirect_uri"]:
            return None
        return code["user"]

    def _refreshed(self, request: web.Request, form: Any) -> str | None:
        if form.get("refresh_token") in self._revoked:
            return None
        issuer = self._url(request)
        for key in self._keys(request):
            try:
                claims = jwt.decode(
                    str(form.get("refresh_token")), key.private.public_key(), [key.algorithm], audience=issuer
                )
            except jwt.InvalidTokenError:
                continue
            return str(claims["sub"])
        return None

    async def revoke(self, request: web.Request) -> web.Response:
        """Revoke a refresh token (RFC 7009 section 2). A token that is unknown gets the same answer."""
        form = await request.post()
        if form.get("client_id") != CLIENT or "token" not in form:
            return self._for_page(request, {"error": "invalid_request"}, status=400)
        self._revoked.add(str(form["token"]))
        return self._for_page(request, {})

    def _for_page(self, request: web.Request, answer: dict[str, Any], status: int = 200) -> web.Response:
        """Answer a page of another origin. Its form is a simple request, so there is no preflight."""
        headers = {"Access-Control-Allow-Origin": request.headers.get("Origin", "*"), "Cache-Control": "no-store"}
        return web.json_response(answer, status=status, headers=headers)

    def _url(self, request: web.Request) -> str:
        return f"{self._origin}/{request.match_info['issuer']}"

    def _state(self, request: web.Request) -> dict[str, Any]:
        issuers: dict[str, dict[str, Any]] = json.loads((self._directory / "provider.json").read_text())
        return issuers[request.match_info["issuer"]]

    def _keys(self, request: web.Request) -> list[SigningKey]:
        return [SigningKey.from_file(entry) for entry in self._state(request)["keys"]]


async def serve(directory: Path, port: int) -> None:
    """Serve until the process ends."""
    # SO_REUSEADDR, so that a provider that was killed can start on its port again.
    with socket.create_server(("127.0.0.1", port)) as listener:
        origin = f"http://localhost:{listener.getsockname()[1]}"
        runner = web.AppRunner(Provider(directory, origin).app(), access_log=None)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        print(f"provider at {origin}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.directory, arguments.port))
