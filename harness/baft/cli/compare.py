"""``baft compare``: every contender on the same examples, a 3-way report, one decision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .common import POLICY, RULE, Exit, State, parse_share, state
from .completing import arms, metrics, policies, roles, specs
from .running import anchored, asked_for, decoded, finish, measured_by, start
from .running import resume as reopen

if TYPE_CHECKING:
    from ..concluding import Outcome
    from ..store import Benchmark

Spec = Annotated[
    str | None, typer.Option(metavar="SPEC", help="Model of this arm.", autocompletion=specs)
]


def compare(
    ctx: typer.Context,
    benchmark: Annotated[
        str, typer.Argument(help="Name or path of a benchmark in benchmarks/.")
    ] = "ba",
    baseline: Spec = None,
    optimized: Spec = None,
    finetuned: Spec = None,
    candidate: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=SPEC", help="One more contender.", autocompletion=arms),
    ] = None,
    dataset: Annotated[Path | None, typer.Option(help="Examples to use instead.")] = None,
    sealed: Annotated[
        Path | None, typer.Option(help="Examples opened once, for the final decision.")
    ] = None,
    role: Annotated[str | None, typer.Option(help="Role to play.", autocompletion=roles)] = None,
    metric: Annotated[
        str | None, typer.Option(help="Metric to score with.", autocompletion=metrics)
    ] = None,
    policy: Annotated[str | None, typer.Option(help=POLICY, autocompletion=policies)] = None,
    rule: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help=RULE)] = None,
    threshold: Annotated[
        str | None, typer.Option(help="Least mean of the winner: 0.8535 or 85.35%.")
    ] = None,
    incumbent: Annotated[str | None, typer.Option(help="Arm that is in service now.")] = None,
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
    output: Annotated[Path | None, typer.Option(help="Folder that runs are kept in.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with this run.")] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Adopt the winner in config.yaml.")
    ] = False,
    config: Annotated[Path | None, typer.Option(help="The pipeline's config.yaml.")] = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 3 (keep) or 4 (not settled).")
    ] = False,
    junit: Annotated[
        Path | None, typer.Option(help="Write JUnit XML to this file, for a build server.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print decision.json.")] = False,
) -> None:
    """Compare contenders, decide, and with --apply adopt the winner.

    The benchmark says which models, data, decoding and rules; every value can be overridden.
    """
    from ..policies import change_policy, named_policy
    from ..store import find_benchmark

    here = state(ctx)
    if resume is not None:
        outcome = finish(here, reopen(here, resume))
    else:
        given = {"baseline": baseline, "optimized": optimized, "finetuned": finetuned}
        frozen = anchored(find_benchmark(benchmark, here.project))
        rules = change_policy(
            frozen.policy if policy is None else named_policy(policy),
            rule or (),
            threshold=parse_share(threshold, "threshold") if threshold is not None else None,
        )
        chosen = frozen.with_overrides(
            policy=rules,
            models=_models(given, candidate or []),
            dataset=str(dataset) if dataset is not None else None,
            dataset_sha256="" if dataset is not None else None,
            sealed=str(sealed) if sealed is not None else None,
            sealed_sha256="" if sealed is not None else None,
            role=role,
            **measured_by(here, frozen, role, metric),
            extraction=extraction,
            incumbent=incumbent,
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
        chosen = _with_incumbent(here, chosen, config, incumbent)
        outcome = finish(here, start(here, chosen, asked, output))
    if junit is not None:
        from ..reports import write_junit

        write_junit(junit, outcome.report, outcome.decision)
    _show(here, outcome, json)
    if outcome.problems:
        raise typer.Exit(Exit.INCOMPLETE)
    if apply:
        from .promote import adopt

        adopt(here, outcome, config)
    if exit_code and outcome.decision.verdict == "keep":
        raise typer.Exit(Exit.KEEP if outcome.decision.conclusive else Exit.UNSETTLED)


def _models(given: dict[str, str | None], candidates: list[str]) -> dict[str, str] | None:
    """Arms named on the command line; they replace the benchmark's own."""
    from ..errors import UsageError

    models = {name: spec for name, spec in given.items() if spec is not None}
    for text in candidates:
        name, equals, spec = text.partition("=")
        if not equals or not name or not spec:
            raise UsageError(f"--candidate {text!r} is not NAME=SPEC.", "Write new=ollama:phi3.")
        if name in models:
            raise UsageError(f"Two models are named {name!r}.", "Give each its own name.")
        models[name] = spec
    return models or None


def _with_incumbent(
    here: State, benchmark: Benchmark, config: Path | None, asked: str | None
) -> Benchmark:
    """The incumbent: what config.yaml has in service if it is compared, else as asked."""
    from ..errors import UsageError, did_you_mean
    from ..promotion import arm_in_service, read_config

    path = config if config is not None else here.project / "config.yaml"
    if config is not None or path.is_file():
        served = arm_in_service(read_config(path), benchmark.role, benchmark.models, here.plugins)
        if served is not None:
            return benchmark.with_overrides(incumbent=served)
    if asked is not None and asked not in benchmark.models:
        raise UsageError(
            f"The incumbent {asked!r} is not among the models compared.",
            did_you_mean(asked, benchmark.models),
        )
    return benchmark


def _show(here: State, outcome: Outcome, json: bool) -> None:
    from ..reports import render_terminal

    if json:
        here.emit(outcome.decision, True)
    else:
        render_terminal(outcome.report, outcome.decision, outcome.paths, here.console())
