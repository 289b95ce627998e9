"""The viewer's socket: 127.0.0.1 and nothing else."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING
from urllib.parse import quote

import uvicorn

from ..errors import UsageError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

HOST = "127.0.0.1"


def listen(port: int = 0) -> socket.socket:
    """A socket on this machine's loopback; port 0 takes a free one.

    Raises:
        UsageError: the port is taken or not allowed.
    """
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((HOST, port))
        found.listen()  # a browser may come before the server is ready, and waits
    except (OSError, OverflowError) as error:
        found.close()
        raise UsageError(
            f"Port {port} of {HOST} cannot be opened: {error}.", "Leave --port out for a free one."
        ) from error
    return found


def address(listening: socket.socket, token: str, run: str = "") -> str:
    """What to open in a browser: the list, or one run."""
    port = listening.getsockname()[1]
    path = f"run/{quote(run, safe='')}" if run else ""
    return f"http://{HOST}:{port}/{path}?token={token}"


def server(app: ASGIApp) -> uvicorn.Server:
    """What answers; it says nothing of itself and logs errors only."""
    return uvicorn.Server(
        uvicorn.Config(
            app, log_level="error", access_log=False, server_header=False, ws="none", lifespan="off"
        )
    )


def serve(app: ASGIApp, listening: socket.socket) -> None:
    """Answer until Ctrl-C."""
    server(app).run(sockets=[listening])
