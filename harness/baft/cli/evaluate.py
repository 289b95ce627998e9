"""``baft eval``: one model, same engine, same flags, same report keys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .common import Exit, state
from .completing import metrics, roles, specs
from .running import anchored, asked_for, decoded, finish, measured_by, start

if TYPE_CHECKING:
    from ..store import Benchmark
    from .common import State


def evaluate(
    ctx: typer.Context,
    model: Annotated[str, typer.Option(metavar="SPEC", help="The model.", autocompletion=specs)],
    role: Annotated[str, typer.Option(help="Role to play.", autocompletion=roles)] = "ba",
    dataset: Annotated[Path | None, typer.Option(help="Examples; default: the role's.")] = None,
    metric: Annotated[
        str | None, typer.Option(help="Metric to score with.", autocompletion=metrics)
    ] = None,
    extraction: Annotated[str | None, typer.Option(help="strict or lenient.")] = None,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Most new tokens by answer.")] = None,
    num_ctx: Annotated[int | None, typer.Option(help="Context window asked of servers.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of every draw.")] = None,
    repeats: Annotated[int, typer.Option(help="Ask every example so often.")] = 1,
    limit: Annotated[
        int | None, typer.Option(help="Smoke run: the first so many examples.")
    ] = None,
    concurrency: Annotated[int, typer.Option(help="Requests under way at once.")] = 8,
    timeout: Annotated[float, typer.Option(help="Seconds for one request.")] = 600.0,
    retries: Annotated[int, typer.Option(help="Further tries after a passing fault.")] = 3,
    stream: Annotated[
        bool, typer.Option("--stream", help="Stream answers; tells the time to the first token.")
    ] = False,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Batch size of local models; default: what memory holds."),
    ] = None,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Greedy, and one prompt at a time.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    executor: Annotated[
        str, typer.Option(metavar="NAME[?OPTIONS]", help="What asks the models: local, ray?gpus=1.")
    ] = "local",
    log_level: Annotated[
        str, typer.Option(help="What run.log holds: debug, info, warning, error.")
    ] = "info",
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Ask again for what earlier runs were answered.")
    ] = False,
    allow_download: Annotated[bool, typer.Option(help="Model hubs may be asked.")] = False,
    allow_pickle: Annotated[bool, typer.Option(help="Load pickled programs.")] = False,
    allow_invalid: Annotated[bool, typer.Option(help="Skip and count invalid lines.")] = False,
    runs: Annotated[Path | None, typer.Option(help="Folder that runs are kept in.")] = None,
    output: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("eval_report.json"),
    json: Annotated[bool, typer.Option("--json", help="Print the scores.")] = False,
) -> None:
    """Evaluate one model on a role's examples."""
    here = state(ctx)
    frozen = own_benchmark(here, role, dataset)
    chosen = frozen.with_overrides(
        models={"model": model},
        incumbent="model",
        dataset=str(dataset) if dataset is not None else None,
        dataset_sha256="" if dataset is not None else None,
        **measured_by(here, frozen, role, metric),
        extraction=extraction,
        **decoded(temperature, deterministic),
        max_tokens=max_tokens,
        num_ctx=num_ctx,
        seed=seed,
    )
    asked = asked_for(
        concurrency=concurrency,
        timeout=timeout,
        retries=retries,
        stream=stream,
        limit=limit,
        repeats=repeats,
        allow_invalid=allow_invalid,
        options={
            "device": device,
            "batch_size": batch_size,
            "no_cache": no_cache,
            "log_level": log_level,
            "executor": executor,
            "allow_download": allow_download,
            "allow_pickle": allow_pickle,
        },
    )
    outcome = finish(here, start(here, chosen, asked, runs))

    from ..reports import render_arms
    from ..store import write_atomic
    from ..store.codec import to_data

    with outcome.paths["report.json"].open(encoding="utf-8") as whole:
        write_atomic(output, whole)
    here.say(f"report {output}")
    if json:
        here.emit(to_data(outcome.report.arms[0].summary), True)
    else:
        render_arms(outcome.report, here.console())
    if outcome.problems:
        raise typer.Exit(Exit.INCOMPLETE)


def own_benchmark(here: State, role: str, dataset: Path | None) -> Benchmark:
    """The benchmark of a role's name; where there is none, the role's metric on the dataset.

    Raises:
        UsageError: there is neither.
    """
    from ..errors import UsageError
    from ..records import Decoding, Policy
    from ..store import Benchmark, find_benchmark

    try:
        return anchored(find_benchmark(role, here.project))
    except UsageError:
        if dataset is None:
            raise
        own = here.plugins.metric(here.plugins.role(role).metric)
        return Benchmark(
            name=role,
            version=1,
            role=role,
            dataset=str(dataset),
            metric=own.name,
            metric_version=own.version,
            decoding=Decoding(),
            policy=Policy(),
        )
