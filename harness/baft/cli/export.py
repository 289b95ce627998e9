"""``baft export``: a fine-tuned model as one whole, in a folder or on an Ollama server.

``baft export last --to ollama --name ba-tuned`` merges, uploads, and scores what is then served.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import state
from .completing import specs


def export(
    ctx: typer.Context,
    model: Annotated[
        str, typer.Argument(metavar="RUN|SPEC", help="A run, or a model.", autocompletion=specs)
    ],
    folder: Annotated[Path | None, typer.Argument(help="Where the merged model goes.")] = None,
    to: Annotated[str, typer.Option(help="merged, or an exporter such as ollama.")] = "merged",
    name: Annotated[str, typer.Option(help="Name of the model on the server.")] = "",
    host: Annotated[str, typer.Option(help="Server; default: as for specs.")] = "",
    quantize: Annotated[str | None, typer.Option(help="As the server knows it.")] = None,
    gguf: Annotated[Path | None, typer.Option(help="Upload this file instead.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model.")] = False,
    dtype: Annotated[str, typer.Option(help="To merge in: bf16, fp32 or auto.")] = "auto",
    max_loss: Annotated[
        float, typer.Option(min=0, max=1, help="Points that the served model may lose.")
    ] = 0.02,
    arm: Annotated[str | None, typer.Option(help="Arm of the run; default: candidate.")] = None,
    benchmark: Annotated[str, typer.Option(help="What a SPEC is scored on.")] = "ba",
    limit: Annotated[int | None, typer.Option(min=1, help="Smoke run.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    allow_download: Annotated[bool, typer.Option(help="Model hubs may be asked.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print what was done.")] = False,
) -> None:
    """Merge a model; serve it under a name, and score what is served."""
    from ..errors import UsageError
    from .judging import find_source, judge, open_mergeable, prompts_of
    from .making import StepProgress

    here = state(ctx)
    options = {"device": device, "allow_download": allow_download}
    source = find_source(here, model, arm, benchmark)
    given = source.benchmark.models[source.arm]
    mergeable = open_mergeable(here, given, source, options)
    named = given.partition("?")[0].rpartition("/")[2].rpartition(":")[2]
    merged = folder or here.project / "artifacts" / "exports" / named
    with StepProgress(here, "export", None, merged) as log:
        if to == "merged":
            info = mergeable.merge(merged, dtype, log)
            here.emit({"spec": f"hf:{merged}", **info} if json else f"hf:{merged}", json)
            return
        if not name:
            raise UsageError("The served model needs a name.", f"Write --to {to} --name NAME.")
        exporter = here.plugins.make("exporters", to, host, here.env)
        num_ctx = source.benchmark.decoding.num_ctx
        wanted = {"quantize": quantize, "gguf": gguf, "overwrite": overwrite, "num_ctx": num_ctx}
        exporter.check(name, wanted)
        form = mergeable.chat_form(prompts_of(here, source.benchmark, limit))
        if gguf is None:
            mergeable.merge(merged, dtype, log)
        served = exporter.export(merged, name, form, wanted, log)
    judge(here, source, served, max_loss, limit, options, as_json=json)
