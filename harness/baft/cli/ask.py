"""``baft ask``: one question to the model in service.

``baft ask --role ba --pipeline`` is the pipeline's command provider: JSON in, one fenced block out.
"""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path
from typing import Annotated

import typer

from .common import state
from .completing import roles


def ask(
    ctx: typer.Context,
    text: Annotated[
        str | None, typer.Argument(metavar="CONCEPT", help="What is asked about; - reads stdin.")
    ] = None,
    role: Annotated[str, typer.Option(help="Role that answers.", autocompletion=roles)] = "ba",
    config: Annotated[Path | None, typer.Option(help="The pipeline's config.yaml.")] = None,
    pipeline: Annotated[
        bool, typer.Option("--pipeline", help="Read the pipeline's JSON, answer in its block.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    server: Annotated[
        bool, typer.Option(help="Ask a running `baft serve`, if it has this model loaded.")
    ] = True,
    json: Annotated[bool, typer.Option("--json", help="Print text, fields and counts.")] = False,
) -> None:
    """Ask the model that config.yaml has in service, through the prompt of the evaluation."""
    from ..errors import UsageError
    from ..reports.text import plain_text
    from ..serving import PipelineRequest, ask, pipeline_answer, pipeline_request
    from ..store.codec import to_data, to_json

    here = state(ctx)
    for stream in (sys.stdin, sys.stdout):  # the pipeline speaks UTF-8, whatever the terminal does
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    if pipeline:
        request = pipeline_request(sys.stdin.read())
    elif text is None:
        raise UsageError("Nothing was asked.", 'Write: baft ask --role ba "CONCEPT".')
    else:
        request = PipelineRequest(text=sys.stdin.read() if text == "-" else text)
    with contextlib.redirect_stdout(sys.stderr):  # stdout carries the answer only
        answer = ask(
            here.plugins,
            config=config or here.project / "config.yaml",
            role=role,
            text=request.text,
            env=here.env,
            options={"device": device},
            temperature=request.temperature,
            max_tokens=request.max_tokens,
            project=here.project if server else None,
            say=here.say,
        )
    if pipeline:
        print(pipeline_answer(here.plugins.role(role), answer.prediction), end="")
    elif json:
        here.emit(to_data(answer), True)
    elif answer.generation.text:
        print(plain_text(answer.generation.text))
    else:
        print(plain_text(to_json(dict(answer.prediction.fields))))
