"""``baft doctor``: what is missing for which command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .common import Exit, State, state
from .doctor_train import LINE, MaybeTrain, examine

app = typer.Typer(add_completion=False)


@app.command(cls=MaybeTrain)
def doctor(
    ctx: typer.Context,
    benchmark: Annotated[str, typer.Argument(help="Benchmark to check the models of.")] = "ba",
    train: Annotated[
        Path | None,
        typer.Option(help="With the other flags of `baft train`: say whether that run fits."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check plugins, packages, memory, data and models; says what to type for what is missing.

    With --train and the other flags of a `baft train` line: says what memory and time it would
    take, from one measured batch, without starting it.
    """
    if LINE in ctx.meta:
        examine(ctx, ctx.meta[LINE])
        return
    here = state(ctx)
    checks = [*_plugins(here), *_packages(), _memory(here), *_benchmark(here, benchmark)]
    if json:
        here.emit({"checks": checks}, True)
    else:
        for check in checks:
            mark = "ok     " if check["ok"] else "MISSING"
            print(f"{mark} {check['what']}: {check['found']}")
            if check["hint"]:
                print(f"        {check['hint']}")
    if not all(check["ok"] for check in checks):
        raise typer.Exit(Exit.USAGE)


def _check(what: str, ok: bool, found: str, hint: str = "") -> dict[str, Any]:
    return {"what": what, "ok": ok, "found": found, "hint": "" if ok else hint}


def _plugins(here: State) -> list[dict[str, Any]]:
    infos = here.plugins.infos
    return [
        _check(f"plugin {i.name}", not i.problem, i.problem or i.distribution, "See baft plugins.")
        for i in infos
    ]


def _packages() -> list[dict[str, Any]]:
    import importlib.metadata

    checks = []
    for extra, names in (
        ("ollama,openai", ["aiohttp"]),
        ("ollama", ["httpx"]),
        ("lora", ["torch", "transformers", "peft"]),
        ("dspy", ["dspy"]),
    ):
        for name in names:
            try:
                found, ok = importlib.metadata.version(name), True
            except importlib.metadata.PackageNotFoundError:
                found, ok = "not installed", False
            checks.append(_check(f"package {name}", ok, found, f'pip install "baft[{extra}]"'))
    return checks


def _memory(here: State) -> dict[str, Any]:
    import os
    import shutil

    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    disk = shutil.disk_usage(here.project).free / 2**30
    found = f"{os.cpu_count()} cores, {free:.1f} GiB memory free, {disk:.0f} GiB disk free"
    return _check("machine", disk > 1, found, "Free some disk: runs and models need room.")


def _benchmark(here: State, name: str) -> list[dict[str, Any]]:
    from dataclasses import replace

    from ..errors import BaftError
    from ..opening import open_arms
    from ..store import find_benchmark, read_dataset
    from .running import anchored

    try:
        chosen = anchored(find_benchmark(name, here.project))
        role = here.plugins.role(chosen.role)
        here.plugins.metric(chosen.metric)  # says what it needs and does not find
        n = len(read_dataset(Path(chosen.dataset), role).examples)
    except BaftError as error:
        return [_check(f"benchmark {name}", False, error.message, error.hint)]
    checks = [_check(f"benchmark {name}", True, f"{n} examples for role {chosen.role}")]
    for arm, spec in chosen.models.items():
        context = here.plugins.context(env=here.env, role=role)
        try:
            open_arms(replace(chosen, models={arm: spec}), here.plugins, context)
            checks.append(_check(f"{name} {arm}", True, spec))
        except BaftError as error:
            lines = [line.strip() for line in error.message.split("\n")[1:]]
            checks.append(_check(f"{name} {arm}", False, lines[0], " ".join(lines[1:])))
    return checks
