"""A dataset made by a model: concepts asked, answers filtered, written with their provenance.

Every answer is kept in a run store beside the dataset, so a generation that was stopped goes on
where it was, and one that is over can be filtered anew without asking again.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from . import data, engine
from .errors import DataError, UsageError
from .execution import close
from .opening import git_commit, versions
from .records import ArmManifest, Example, Manifest, Policy
from .store import RunStore, new_run_id
from .store.datasets import read_dataset, read_lines
from .store.files import file_sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from .loader import Plugins
    from .protocols import Backend, Metric, Role
    from .records import Decoding, Extraction, Limits

PLAIN = ".txt"
"""Suffix of files that hold one concept a line, as plain text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be made."""

    concepts: Path
    """Rows of a dataset, whose references are not copied; or a ``.txt`` with one input a line."""
    role: Role
    metric: Metric
    spec: str
    """Of the model that answers."""
    bar: data.Bar
    tries: int
    """Most answers to one concept, each with another seed."""
    decoding: Decoding
    limits: Limits
    extraction: Extraction
    limit: int | None = None
    """Only the first so many concepts."""
    against: tuple[Path, ...] = ()
    """Datasets whose examples may not come again, such as the validation set."""
    options: Mapping[str, Any]
    """Flags that opening the model depends on."""

    def __post_init__(self) -> None:
        if self.tries < 1:
            raise ValueError(f"tries must be at least 1, not {self.tries}")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit must be at least 1, not {self.limit}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Harvest:
    """What came of it."""

    concepts: int
    """Concepts that were given."""
    repeated: int
    """Of these, concepts that repeat an earlier or a known one; they were not asked."""
    selection: data.Selection
    problem: str = ""
    """Why the model was not asked for everything; empty where it was."""


def concepts_of(order: Order) -> tuple[Example, ...]:
    """The examples that are to get an answer; a reference counts for metrics that look at it.

    Raises:
        DataError: the file is missing, empty or broken.
        UsageError: plain text is given for a role with several inputs.
    """
    if order.concepts.suffix == PLAIN:
        return tuple(_plain(order.concepts, order.role))[: order.limit]
    return read_dataset(order.concepts, order.role).examples[: order.limit]


def _plain(path: Path, role: Role) -> Iterator[Example]:
    if len(role.inputs) != 1:
        names = ", ".join(field.name for field in role.inputs)
        raise UsageError(
            f"The role {role.name!r} has several inputs ({names}), and {path} is plain text.",
            "Write one JSON object a line.",
        )
    known, number = set(), 0
    for number, text in read_lines(path):
        try:
            example = role.example({role.inputs[0].name: text})
        except ValueError as error:
            raise DataError(f"{path}, line {number}: {error}.", "Mend the line.") from error
        if example.id not in known:
            known.add(example.id)
            yield example
    if not number:
        raise DataError(f"{path} holds no concept.", "Write one a line.")


def generate(
    order: Order,
    backend: Backend,
    folder: Path,
    plugins: Plugins,
    *,
    project: Path,
    warn: Callable[[str], None],
    observe: Callable[[engine.Progress], None] = lambda progress: None,
) -> tuple[Harvest, list[bytes]]:
    """Ask until every concept has a good answer or was tried often enough.

    Args:
        order: what is to be made.
        backend: the model, which is closed in the end.
        folder: where every answer is kept; what is there already is not asked again.
        plugins: all plugins.
        project: whose commit is recorded.
        warn: told of what a person should know.
        observe: told of the progress after every change.

    Returns:
        What came of it, and the lines of the dataset.

    Raises:
        DataError: the folder holds the answers of another model, or to other concepts.
    """
    given = concepts_of(order)
    known = [
        line.example
        for path in order.against
        for line in data.read(path, order.role)
        if line.example is not None
    ]
    examples = data.fresh(given, known)
    if not examples:
        raise DataError(f"Every concept of {order.concepts} is known.", "Choose others.")
    if len(examples) < data.FEW:
        warn(f"{len(examples)} concepts are too few to tell whether answers fit their own.")
    store = _store(order, backend, examples, folder, plugins, project)
    manifest = store.manifest()
    job = _job(order, manifest)

    def choose() -> data.Selection:
        candidates = list(_candidates(store, examples, order.tries))
        return data.select(order.role, order.metric, examples, candidates, order.bar, known)

    try:
        problem = asyncio.run(_ask(order, backend, job, store, choose, warn, observe))
        selection = choose()
    finally:
        store.close()
    harvest = Harvest(
        concepts=len(given),
        repeated=len(given) - len(examples),
        selection=selection,
        problem=problem,
    )
    return harvest, [_line(order, manifest, chosen) for chosen in selection.chosen]


async def _ask(
    order: Order,
    backend: Backend,
    job: engine.Job,
    store: RunStore,
    choose: Callable[[], data.Selection],
    warn: Callable[[str], None],
    observe: Callable[[engine.Progress], None],
) -> str:
    """Ask for what is missing, try by try; returns why the model stopped answering, if it did."""
    problem = ""
    try:
        with engine.scoring_pool(job) as pool:
            for attempt in range(1, order.tries + 1):
                seed = job.decoding.seed + attempt - 1
                part = replace(job, decoding=replace(job.decoding, seed=seed))
                await engine.run_arm(_arm(attempt), backend, part, store, pool, observe=observe)
                missing = frozenset(choose().rejected)
                if not missing:
                    break
                job = replace(job, only=missing, num_examples=len(missing))
    except* engine.ArmGone as group:
        problem = str(group.exceptions[0])
    finally:
        await close(backend, warn)
    return problem


def _store(
    order: Order,
    backend: Backend,
    examples: Sequence[Example],
    folder: Path,
    plugins: Plugins,
    project: Path,
) -> RunStore:
    """The store of this generation: as it was left, or new.

    Raises:
        DataError: it holds the answers of another model, to other concepts or by other settings.
    """
    arm = ArmManifest(
        name="model",
        spec=order.spec,
        fingerprint=backend.fingerprint(),
        config=dict(backend.describe()),
    )
    asked = Manifest(
        run_id=new_run_id("generate"),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        benchmark="generate",
        benchmark_version=1,
        role=order.role.name,
        dataset=str(order.concepts),
        dataset_sha256=file_sha256(order.concepts),
        num_examples=len(examples),
        limit=order.limit,
        metric=order.metric.name,
        metric_version=order.metric.version,
        attainable_max=order.metric.attainable_max,
        component_max=dict(order.metric.components),
        extraction=order.extraction,
        decoding=order.decoding,
        limits=order.limits,
        policy=Policy(),
        incumbent=arm.name,
        arms=(arm,),
        blocked=tuple(sorted(i.name for i in plugins.infos if "--no-plugin" in i.problem)),
        versions=versions(plugins),
        platform=platform.platform(),
        git_commit=git_commit(project),
        options={**order.options, "against": [file_sha256(path) for path in order.against]},
    )
    if not (folder / "run.json").is_file():
        store = RunStore.create(folder, asked)
        store.add_examples(examples, order.role.prompt)
        return store
    store = RunStore.open(folder)
    before = store.manifest()
    for what, one, other in _compared(before, asked):
        if one != other:
            store.close()
            raise DataError(
                f"{folder} holds answers by other {what}.",
                "Delete that folder, or choose another --output.",
            )
    return store


def _compared(before: Manifest, asked: Manifest) -> Iterator[tuple[str, object, object]]:
    """What must be the same for answers to go together: its name, then and now."""
    yield "weights or another model", before.arms[0].fingerprint, asked.arms[0].fingerprint
    for what, name in (
        ("concepts", "dataset_sha256"),
        ("concepts (--limit)", "num_examples"),
        ("examples to keep apart from", "options"),
        ("rules of a role", "role"),
        ("rules of a metric", "metric"),
        ("rules of a metric", "metric_version"),
        ("rules of extraction", "extraction"),
        ("settings of decoding", "decoding"),
    ):
        one, other = getattr(before, name), getattr(asked, name)
        yield what, *(found["against"] if name == "options" else found for found in (one, other))


def _job(order: Order, manifest: Manifest) -> engine.Job:
    return engine.Job(
        role=order.role,
        metric=order.metric,
        num_examples=manifest.num_examples,
        decoding=manifest.decoding,
        limits=order.limits,
        extraction=manifest.extraction,
        blocked=manifest.blocked,
    )


def _arm(attempt: int) -> str:
    return f"try {attempt}"


def _candidates(store: RunStore, given: Sequence[Example], tries: int) -> Iterator[data.Candidate]:
    """Every answer with a score, as it was stored."""
    examples = {example.id: example for example in given}
    for attempt in range(1, tries + 1):
        for result in store.results(_arm(attempt)):
            if result.score is not None and result.prediction is not None:
                yield data.Candidate(
                    example=examples[result.example_id],
                    attempt=attempt,
                    prediction=result.prediction,
                    score=result.score.value,
                )


def _line(order: Order, manifest: Manifest, chosen: data.Chosen) -> bytes:
    """One line of the dataset; it says where its answer is from."""
    (arm,) = manifest.arms
    provenance = {
        "model": arm.spec,
        "fingerprint": arm.fingerprint,
        "run": manifest.run_id,
        "date": manifest.date,
        "baft": manifest.versions.get("baft", ""),
        "temperature": manifest.decoding.temperature,
        "max_tokens": manifest.decoding.max_tokens,
        "seed": manifest.decoding.seed + chosen.attempt - 1,
        "try": chosen.attempt,
        "metric": f"{manifest.metric} v{manifest.metric_version}",
        "score": chosen.score,
        "fit": chosen.fit,
    }
    return data.row_of(order.role, chosen.example, provenance=provenance)
