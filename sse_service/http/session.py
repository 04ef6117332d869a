"""``/session``: a bearer token in, a cookie out, because an EventSource cannot set headers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

from starlette.responses import Response

from sse_service.http.problems import problem, unauthorized
from sse_service.model.errors import Forbidden, InvalidToken

if TYPE_CHECKING:
    from starlette.requests import Request

    from sse_service.auth.requests import RequestAuth


class Session:
    """``/session``: a bearer token in, a cookie out, because an EventSource cannot set headers."""

    def __init__(
        self,
        *,
        auth: RequestAuth,
        cookie_name: str,
        same_site: Literal["lax", "strict", "none"],
        domain: str | None,
        secure: bool,
    ) -> None:
        self._auth = auth
        self._cookie_name = cookie_name
        self._same_site = same_site
        self._domain = domain
        self._secure = secure

    async def create(self, request: Request) -> Response:
        """Set the cookie; one that was sent along is replaced."""
        try:
            token, principal = self._auth.bearer(request)
        except InvalidToken as error:
            return unauthorized(error)
        except Forbidden as error:
            return problem(403, str(error))
        response = Response(status_code=204, headers={"Cache-Control": "no-store"})
        self._set(response, token, max_age=principal.expires - int(time.time()))
        return response

    async def delete(self, request: Request) -> Response:
        """Expire the cookie."""
        try:
            self._auth.check_origin(request)
        except Forbidden as error:
            return problem(403, str(error))
        response = Response(status_code=204, headers={"Cache-Control": "no-store"})
        self._set(response, "", max_age=0)
        return response

    def _set(self, response: Response, value: str, *, max_age: int) -> None:
        response.set_cookie(
            self._cookie_name,
            value,
            max_age=max_age,
            domain=self._domain,
            secure=self._secure,
            httponly=True,
            samesite=self._same_site,
        )
