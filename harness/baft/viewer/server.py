"""The viewer's address, and how it answers there."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from ..loopback import HOST, server

if TYPE_CHECKING:
    import socket

    from starlette.types import ASGIApp


def address(listening: socket.socket, token: str, run: str = "") -> str:
    """What to open in a browser: the list, or one run."""
    port = listening.getsockname()[1]
    path = f"run/{quote(run, safe='')}" if run else ""
    return f"http://{HOST}:{port}/{path}?token={token}"


def serve(app: ASGIApp, listening: socket.socket) -> None:
    """Answer until Ctrl-C."""
    server(app).run(sockets=[listening])
