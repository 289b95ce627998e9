"""Who may ask the viewer: the one browser that was given the token, at this address, by GET.

Every request must name this host and come from no other origin, see ``loopback``, and bring the
token, first in the address, then in a cookie that scripts and other sites never see.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse

from ..loopback import foreign

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""What a page of the viewer may load: its own style sheets and script, and no text of anyone."""

HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}

WELCOME = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>baft</title>'
    '<link rel="icon" href="data:,">'
    '<meta http-equiv="refresh" content="0;url={path}"><p><a href="{path}">Continue</a></p></html>'
)
"""Answers the token; a redirect would not do, since a strict cookie is not sent along with it."""


class Guard:
    """ASGI middleware before everything else.

    Args:
        app: the viewer.
        port: where it listens; part of every valid ``Host``.
        token: the secret that this viewer told its browser; each start makes a new one.
    """

    def __init__(self, app: ASGIApp, *, port: int, token: str) -> None:
        self.app = app
        self._token = token.encode()
        self._cookie = f"baft-view-{port}"  # cookies know no ports: each viewer has its own
        self._port = port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a good request on; answer every other one here."""
        if scope["type"] != "http":
            return

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                known = {name for name, _ in message["headers"]}
                extra = ((key.encode(), value.encode()) for key, value in HEADERS.items())
                kept = [(key, value) for key, value in extra if key not in known]
                message["headers"] = [*message["headers"], *kept]
            await send(message)

        request = Request(scope)
        refused = self._refusal(request)
        if refused is not None:
            await refused(scope, receive, sealed)
        elif "token" in request.query_params:
            await self._welcome(request)(scope, receive, sealed)
        else:
            await self.app(scope, receive, sealed)

    def _refusal(self, request: Request) -> PlainTextResponse | None:
        """Why the request is not answered, if it is not."""
        refused = foreign(request, self._port)
        if refused is not None:
            status, why = refused
            return PlainTextResponse(why, status)
        if request.method not in {"GET", "HEAD"}:
            return PlainTextResponse("This page only reads.", 405, {"allow": "GET, HEAD"})
        given = request.query_params.get("token", request.cookies.get(self._cookie, ""))
        if not secrets.compare_digest(given.encode("utf-8", "replace"), self._token):
            return PlainTextResponse("Open the address that `baft view` printed.", 403)
        return None

    def _welcome(self, request: Request) -> HTMLResponse:
        """Turn the token of the address into the cookie, and go on without it."""
        path = request.url.path if _is_plain(request.url.path) else "/"
        page = HTMLResponse(WELCOME.format(path=path))
        page.set_cookie(
            self._cookie, self._token.decode(), path="/", httponly=True, samesite="strict"
        )
        return page


def _is_plain(path: str) -> bool:
    """A path of this server that needs no escaping: no quote, no ``//`` to another host."""
    return path.startswith("/") and all(
        part and all(char.isalnum() or char in "-_." for char in part)
        for part in path[1:].split("/")
    )
