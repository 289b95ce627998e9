"""``baft data generate``: a dataset made by a model."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..common import Exit, state
from ..completing import metrics, specs
from ..progress import RunProgress
from ..running import context_of, interruptible
from .common import Force, Json, RoleName, refuse_to_overwrite

if TYPE_CHECKING:
    from ...generating import Harvest, Order
    from ..common import State


def generate(
    ctx: typer.Context,
    concepts: Annotated[
        Path, typer.Argument(help="Rows with the inputs, JSONL; or a .txt with one a line.")
    ],
    model: Annotated[
        str, typer.Option(metavar="SPEC", help="The model that answers.", autocompletion=specs)
    ],
    output: Annotated[Path, typer.Option(help="The dataset; all answers are kept in OUTPUT.run.")],
    role: RoleName = "ba",
    metric: Annotated[
        str | None, typer.Option(help="Metric; default: the role's.", autocompletion=metrics)
    ] = None,
    min_score: Annotated[
        float | None, typer.Option(help="Least score; default: the gate's threshold, 0.8535.")
    ] = None,
    min_fit: Annotated[
        float, typer.Option(help="Share of other concepts that an answer must fit less.")
    ] = 0.95,
    tries: Annotated[int, typer.Option(help="Most answers to one concept.")] = 3,
    against: Annotated[
        list[Path] | None, typer.Option(help="A dataset that nothing may repeat.")
    ] = None,
    extraction: Annotated[str, typer.Option(help="strict or lenient.")] = "lenient",
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 0.7,
    max_tokens: Annotated[int, typer.Option(help="Most new tokens by answer.")] = 2048,
    num_ctx: Annotated[int, typer.Option(help="Context window asked of servers.")] = 8192,
    seed: Annotated[int, typer.Option(help="Seed of the first try.")] = 42,
    limit: Annotated[int | None, typer.Option(help="Only the first so many concepts.")] = None,
    concurrency: Annotated[int, typer.Option(help="Requests under way at once.")] = 8,
    timeout: Annotated[float, typer.Option(help="Seconds for one request.")] = 600.0,
    retries: Annotated[int, typer.Option(help="Further tries after a passing fault.")] = 3,
    batch_size: Annotated[int | None, typer.Option(help="Batch size of local models.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    allow_download: Annotated[bool, typer.Option(help="Model hubs may be asked.")] = False,
    allow_pickle: Annotated[bool, typer.Option(help="Load pickled programs.")] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Answer concepts with a model and keep what scores, fits its concept and copies nothing.

    Stopped by Ctrl-C or worse, the same command goes on; with other --min-… or --tries it filters
    the same answers anew.
    """
    from ...generating import generate as make
    from ...store.datasets import write_lines

    here = state(ctx)
    refuse_to_overwrite(output, concepts, force)
    order = _order(here, ctx.params)
    backend = here.plugins.open(model, context_of(here, order.options, role))
    folder = output.with_name(f"{output.name}.run")
    with RunProgress(here) as progress, interruptible(progress, "the same command goes on"):
        harvest, lines = make(
            order,
            backend,
            folder,
            here.plugins,
            project=here.project,
            warn=here.warn,
            observe=progress,
        )
    if lines and not harvest.problem:
        write_lines(output, lines)
    rejected = Counter(harvest.selection.rejected.values())
    if json:
        found = {"kept": len(lines), "concepts": harvest.concepts, "repeated": harvest.repeated}
        place = str(output) if lines and not harvest.problem else None
        here.emit({**found, "rejected": rejected, "output": place, "run": str(folder)}, True)
    else:
        print(_summary(harvest, rejected))
    _end(here, harvest, output, folder)


def _order(here: State, given: dict[str, Any]) -> Order:
    """The flags as a record.

    Raises:
        UsageError: one is out of range.
    """
    from ...data import Bar
    from ...errors import UsageError
    from ...generating import Order
    from ...records import Decoding, Limits, Policy

    role = here.plugins.role(given["role"])
    if given["extraction"] not in ("strict", "lenient"):
        raise UsageError(f"There is no extraction {given['extraction']!r}.", "strict or lenient.")
    least = given["min_score"] if given["min_score"] is not None else Policy().threshold
    try:
        return Order(
            concepts=given["concepts"],
            role=role,
            metric=here.plugins.metric(given["metric"] or role.metric),
            spec=given["model"],
            bar=Bar(min_score=least, min_fit=given["min_fit"]),
            tries=given["tries"],
            decoding=Decoding(
                **{key: given[key] for key in ("temperature", "max_tokens", "seed", "num_ctx")}
            ),
            limits=Limits(
                concurrency=given["concurrency"],
                timeout_s=given["timeout"],
                retries=given["retries"],
            ),
            extraction=given["extraction"],
            limit=given["limit"],
            against=tuple(given["against"] or ()),
            options={
                key: given[key]
                for key in ("device", "batch_size", "allow_download", "allow_pickle")
            },
        )
    except ValueError as error:
        raise UsageError(f"{error}.", "Check the flags.") from error


def _summary(harvest: Harvest, rejected: Counter[Any]) -> str:
    parts = [f"{n} {reason}" for reason, n in rejected.most_common()]
    if harvest.repeated:
        parts.append(f"{harvest.repeated} not asked: they repeat others")
    rest = f" ({', '.join(parts)})" if parts else ""
    return f"{len(harvest.selection.chosen)} of {harvest.concepts} concepts{rest}"


def _end(here: State, harvest: Harvest, output: Path, folder: Path) -> None:
    """Say where things are and how to go on; exit with 5 where nothing was written."""
    if harvest.problem:
        here.warn(f"The model stopped answering: {harvest.problem}")
        here.warn(f"nothing was written to {output}; the same command goes on with {folder}")
        raise typer.Exit(Exit.INCOMPLETE)
    if not harvest.selection.chosen:
        here.warn(
            f"No answer was good enough, so {output} was not written; all are in {folder}. "
            "Try another model, more --tries, or less --min-score."
        )
        raise typer.Exit(Exit.INCOMPLETE)
    here.say(f"dataset {output}\nanswers {folder}\nNext: baft data audit {output}")
