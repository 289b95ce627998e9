"""``baft serve``: the model in service behind an OpenAI-compatible endpoint on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import state
from .completing import roles


def serve(
    ctx: typer.Context,
    role: Annotated[str, typer.Option(help="Role that answers.", autocompletion=roles)] = "ba",
    config: Annotated[Path | None, typer.Option(help="The pipeline's config.yaml.")] = None,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.")] = 0,
    api_key: Annotated[
        str | None, typer.Option(help="Key that clients must bring; also BAFT_API_KEY.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Keep the model in service loaded; `baft ask` and OpenAI clients ask it. Ctrl-C stops it.

    The model is named like its role. It answers one user message, through the prompt that was
    evaluated: POST /v1/chat/completions, whole or streamed; GET /v1/models; GET /health.
    """
    from ..errors import UsageError

    here = state(ctx)
    if api_key == "":
        raise UsageError("--api-key is empty.", "Leave it out, or name a key.")
    try:
        from ..serving.server import serve
    except ImportError as error:
        raise UsageError(
            f"The server needs {error.name}.", 'Install it by: pip install "baft[serve]"'
        ) from error

    def ready(url: str) -> None:
        print(url, flush=True)
        here.say(f"The model {role!r} answers there. Ctrl-C stops the server.")

    here.say(f"Loading what is in service for {role} …")
    serve(
        here.plugins,
        config=config or here.project / "config.yaml",
        project=here.project,
        role=role,
        env=here.env,
        options={"device": device},
        ready=ready,
        warn=here.warn,
        port=port,
        api_key=api_key or here.env.get("BAFT_API_KEY", ""),
    )
