"""Small web servers on this machine's loopback, and which requests are meant for them.

A page elsewhere on the web can make a browser send requests here, by its name or by a name that it
points to 127.0.0.1 (DNS rebinding). So every request must name this host and come from no other
origin.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import uvicorn

from .errors import UsageError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp

HOST = "127.0.0.1"

GRACE_S = 3
"""Seconds that a request under way gets when the server is stopped."""


def listen(port: int = 0) -> socket.socket:
    """A socket on this machine's loopback; port 0 takes a free one.

    Raises:
        UsageError: the port is taken or not allowed.
    """
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((HOST, port))
        found.listen()  # who asks before the server is ready waits
    except (OSError, OverflowError) as error:
        found.close()
        raise UsageError(
            f"Port {port} of {HOST} cannot be opened: {error}.", "Leave --port out for a free one."
        ) from error
    return found


def server(app: ASGIApp) -> uvicorn.Server:
    """What answers; it says nothing of itself and logs errors only."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="error",
            access_log=False,
            server_header=False,
            ws="none",
            lifespan="off",
            timeout_graceful_shutdown=GRACE_S,
        )
    )


def foreign(request: Request, port: int) -> tuple[int, str] | None:
    """Status and reason where a request is not meant for the server at this port."""
    served = {f"{HOST}:{port}", f"localhost:{port}"}
    hosts = request.headers.getlist("host")
    if len(hosts) != 1 or hosts[0] not in served:
        return 421, "This host is not served here."
    origin = request.headers.get("origin")
    if origin is not None and origin not in {f"http://{name}" for name in served}:
        return 403, "Requests from other sites are refused."
    return None
