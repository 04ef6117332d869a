"""The demo's own back end: signs users in, mints their push tokens, takes uploads, tells the state of their jobs."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
import uuid
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from consumers.sqs.failures import AWS_ERRORS
from sse_service.auth.signing import TokenSigner
from sse_service.auth.tokens import HS256Verifier
from sse_service.dev.assets import page_routes
from sse_service.dev.guard import Refused, guarded, read_json
from sse_service.model.errors import InvalidToken

if TYPE_CHECKING:
    from starlette.requests import Request

    from sse_service.dev.jobs import Jobs

MAX_UPLOAD_BYTES = 20 * 1024 * 1024
_USER_RULE = "a user's name has 1 to 64 printable characters, no slash, no space around it"
_COOKIE = "demo_session"
_SESSION_SECONDS = 12 * 3600


class Backend:
    """The demo's requests; who asks is known by the back end's own cookie, never by the push service's."""

    def __init__(
        self,
        *,
        signer: TokenSigner,
        jobs: Jobs,
        s3: Any,
        bucket: str,
        token_seconds: int = 900,
        uploads_at_once: int = 8,
    ) -> None:
        """``signer`` signs tokens for the push service; ``s3`` is a client."""
        self._signer = signer
        # A secret and an audience of its own: a token for one side is not valid on the other.
        secret = secrets.token_urlsafe(32)
        self._session_signer = TokenSigner(secret=secret, audience="demo")
        self._session_verifier = HS256Verifier(secrets=[secret], audience="demo")
        self._jobs = jobs
        self._s3 = s3
        self._bucket = bucket
        self._token_seconds = token_seconds
        self._uploads = asyncio.Semaphore(uploads_at_once)

    def routes(self) -> list[Route]:
        """All under ``/demo``, and the page at ``/``."""
        return [
            *page_routes(),
            Route("/demo/login", guarded(self.login), methods=["POST"]),
            Route("/demo/logout", guarded(self.logout), methods=["POST"]),
            Route("/demo/token", guarded(self.token), methods=["POST"]),
            Route("/demo/uploads/{name}", guarded(self.upload), methods=["PUT"]),
            Route("/demo/jobs", guarded(self.jobs), methods=["GET"]),
        ]

    async def login(self, request: Request) -> Response:
        """Sign a user in by name alone: it is a demo."""
        user = _user_name(await read_json(request))
        response = JSONResponse({"user": user})
        token = self._session_signer.sign(user, ttl_seconds=_SESSION_SECONDS)
        response.set_cookie(_COOKIE, token, max_age=_SESSION_SECONDS, path="/demo", httponly=True, samesite="lax")
        return response

    async def logout(self, request: Request) -> Response:
        """Forget the user."""
        await read_json(request)
        response = Response(status_code=204)
        response.delete_cookie(_COOKIE, path="/demo", httponly=True, samesite="lax")
        return response

    async def token(self, request: Request) -> Response:
        """Mint what the page takes to the push service's ``POST /session``."""
        await read_json(request)
        user = await self._user(request)
        token = self._signer.sign(user, ttl_seconds=self._token_seconds)
        return JSONResponse({"token": token, "user": user, "expires_in": self._token_seconds})

    async def upload(self, request: Request) -> Response:
        """Put a file into the bucket; what becomes of it is not this request's business."""
        user, name = await self._user(request), request.path_params["name"]
        if not name.isprintable() or len(name.encode()) > 255:
            raise Refused(400, "a file's name has 1 to 255 bytes and no control characters")
        key = f"users/{user}/{uuid.uuid4().hex}/{name}"
        # Beyond its first MiB a body waits on the disk, so that slow uploads cost no memory.
        with tempfile.SpooledTemporaryFile(1024 * 1024) as spool:
            async with self._uploads:
                await _receive(request, spool)
                spool.seek(0)
                try:
                    await self._s3.put_object(Bucket=self._bucket, Key=key, Body=spool)
                except AWS_ERRORS as error:
                    raise Refused(502, "the file could not be stored, try again") from error
        return JSONResponse({"key": key, "name": name}, status_code=201)

    async def jobs(self, request: Request) -> Response:
        """The state that a page fetches where the stream could not tell it everything."""
        user = await self._user(request)
        return JSONResponse({"user": user, "jobs": [job.as_json() for job in self._jobs.of(user)]})

    async def _user(self, request: Request) -> str:
        try:
            return (await self._session_verifier.verify(request.cookies.get(_COOKIE, ""))).user
        except InvalidToken:
            raise Refused(401, "sign in with POST /demo/login") from None


async def _receive(request: Request, spool: Any) -> None:
    """Take the body, as far as the limit."""
    too_large = Refused(413, f"the file has more than {MAX_UPLOAD_BYTES // 1024 // 1024} MiB")
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > MAX_UPLOAD_BYTES:
        raise too_large
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_UPLOAD_BYTES:
            raise too_large
        spool.write(chunk)


def _user_name(value: Any) -> str:
    user = value.get("user") if isinstance(value, dict) else None
    # A user is one segment of an S3 key, where "." and ".." would be taken for a path by some clients.
    if not isinstance(user, str) or not 1 <= len(user) <= 64 or "/" in user or user in (".", ".."):
        raise Refused(400, _USER_RULE)
    if not user.isprintable() or user != user.strip():
        raise Refused(400, _USER_RULE)
    return user
