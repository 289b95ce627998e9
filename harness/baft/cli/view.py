"""``baft view``: all runs of the project on a local web page; reads only."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated

import typer

from .common import state


def view(
    ctx: typer.Context,
    run: Annotated[
        Path | None, typer.Argument(help="Folder or id of a run to open, or `last`.")
    ] = None,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.")] = 0,
    open_: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the address in the browser.")
    ] = True,
) -> None:
    """Show all runs, one while it executes, two side by side; stops with Ctrl-C."""
    from ..errors import UsageError
    from .runs import find_run

    here = state(ctx)
    try:
        from ..viewer import address, listen, make_app, serve
    except ImportError as error:
        raise UsageError(
            f"The viewer needs {error.name}.", 'Install it by: pip install "baft[view]"'
        ) from error
    folder = find_run(here, run) if run is not None else None
    token = secrets.token_urlsafe(24)
    listening = listen(port)
    further = [folder] if folder else []
    app = make_app(here.project, further=further, port=listening.getsockname()[1], token=token)
    url = address(listening, token, folder.resolve().name if folder else "")
    print(url, flush=True)
    here.say("Ctrl-C stops the viewer.")
    if open_:
        import webbrowser

        webbrowser.open(url)
    serve(app, listening)
