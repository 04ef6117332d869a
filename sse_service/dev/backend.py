"""The demo's back end: sign-in, push tokens, uploads, and the state of jobs. A real system has its own."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from consumers.sqs.failures import AWS_ERRORS
from sse_service.auth.tokens.claims import ClaimsReader
from sse_service.auth.tokens.hs256 import HS256Verifier
from sse_service.auth.tokens.signing import TokenSigner
from sse_service.dev.assets import page_routes
from sse_service.dev.guard import Refused, guarded, read_json
from sse_service.dev.jobs import Job
from sse_service.dev.traffic import TALLY
from sse_service.dev.uploads import is_upload_id, upload_key
from sse_service.model.errors import InvalidToken

if TYPE_CHECKING:
    from starlette.requests import Request

    from sse_service.dev.jobs import Jobs
    from sse_service.dev.traffic import Traffic

MAX_UPLOAD_BYTES = 20 * 1024 * 1024
_USER_RULE = "a user name has 1 to 64 printable characters, no slash, and no space at either end"
_COOKIE = "demo_session"
_SESSION_SECONDS = 12 * 3600


class Backend:
    """The demo's endpoints. They identify the user by the back end's own cookie, not by the push service's."""

    def __init__(
        self,
        *,
        signer: TokenSigner,
        jobs: Jobs,
        s3: Any,
        bucket: str,
        traffic: Traffic,
        token_seconds: int = 900,
        uploads_at_once: int = 8,
    ) -> None:
        """``signer`` signs tokens that the push service accepts; ``s3`` is an aiobotocore client."""
        self._signer = signer
        # Separate from the push service's secret and audience, so that neither accepts the other's tokens.
        secret = secrets.token_urlsafe(32)
        self._session_signer = TokenSigner(secret=secret, audience="demo")
        self._session_verifier = HS256Verifier(secrets=[secret], claims=ClaimsReader(audiences=["demo"]))
        self._jobs = jobs
        self._s3 = s3
        self._bucket = bucket
        self._traffic = traffic
        self._token_seconds = token_seconds
        self._uploads = asyncio.Semaphore(uploads_at_once)

    def routes(self) -> list[Route]:
        """Return the routes: the endpoints under ``/demo``, and the page at ``/``."""
        return [
            *page_routes(),
            Route("/demo/login", guarded(self.login), methods=["POST"]),
            Route("/demo/logout", guarded(self.logout), methods=["POST"]),
            Route("/demo/token", guarded(self.token), methods=["POST"]),
            Route("/demo/uploads/{id}/{name}", guarded(self.upload), methods=["PUT"]),
            Route("/demo/jobs", guarded(self.jobs), methods=["GET"]),
            Route("/demo/traffic", guarded(self.traffic), methods=["GET"]),
        ]

    async def login(self, request: Request) -> Response:
        """Sign a user in by name, without a password: this is a demo."""
        user = _user_name(await read_json(request))
        response = JSONResponse({"user": user})
        token = self._session_signer.sign(user, ttl_seconds=_SESSION_SECONDS)
        response.set_cookie(_COOKIE, token, max_age=_SESSION_SECONDS, path="/demo", httponly=True, samesite="lax")
        return response

    async def logout(self, request: Request) -> Response:
        """Sign the user out."""
        await read_json(request)
        response = Response(status_code=204)
        response.delete_cookie(_COOKIE, path="/demo", httponly=True, samesite="lax")
        return response

    async def token(self, request: Request) -> Response:
        """Sign the token that the page sends to the push service's ``POST /session``."""
        await read_json(request)
        user = await self._user(request)
        token = self._signer.sign(user, ttl_seconds=self._token_seconds)
        return JSONResponse({"token": token, "user": user, "expires_in": self._token_seconds})

    async def upload(self, request: Request) -> Response:
        """Put a file into the bucket, and store its job as waiting. S3's notification starts the processing.

        The page chooses the upload's id, because the first event may come before this response.
        """
        user, upload_id, name = await self._user(request), request.path_params["id"], request.path_params["name"]
        if not is_upload_id(upload_id):
            raise Refused(400, "an upload's id has 32 hexadecimal digits")
        if not name.isprintable() or len(name.encode()) > 255:
            raise Refused(400, "a file name has 1 to 255 bytes and no control characters")
        job = Job(id=upload_id, user=user, name=name, key=upload_key(user, upload_id, name))
        # A body of more than 1 MiB goes to disk, so that slow uploads cost no memory.
        with tempfile.SpooledTemporaryFile(1024 * 1024) as spool:
            async with self._uploads:
                await _receive(request, spool)
                spool.seek(0)
                try:
                    await self._s3.put_object(Bucket=self._bucket, Key=job.key, Body=spool)
                except AWS_ERRORS as error:
                    raise Refused(502, "the file could not be stored; try again") from error
        # This changes nothing if the notification was faster.
        self._jobs.update(job)
        return JSONResponse(job.as_json(), status_code=201)

    async def jobs(self, request: Request) -> Response:
        """Return the user's jobs. A page fetches them when its stream starts, and after a gap."""
        user = await self._user(request)
        return JSONResponse({"user": user, "jobs": [job.as_json() for job in self._jobs.of(user)]})

    async def traffic(self, request: Request) -> Response:
        """Return what each way to listen has cost the page's browser."""
        counts = self._traffic.of(request.query_params.get(TALLY, ""))
        return JSONResponse({way: each.as_json() for way, each in counts.items()})

    async def _user(self, request: Request) -> str:
        try:
            return (await self._session_verifier.verify(request.cookies.get(_COOKIE, ""))).user
        except InvalidToken:
            raise Refused(401, "not signed in; send POST /demo/login first") from None


async def _receive(request: Request, spool: Any) -> None:
    """Read the body up to the limit."""
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
    # The name is one segment of an S3 key. Some clients resolve "." and ".." as in a path.
    if not isinstance(user, str) or not 1 <= len(user) <= 64 or "/" in user or user in (".", ".."):
        raise Refused(400, _USER_RULE)
    if not user.isprintable() or user != user.strip():
        raise Refused(400, _USER_RULE)
    return user
