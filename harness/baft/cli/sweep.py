"""``baft train --sweep``: one training for each choice of options; the best one's model is kept."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DataError, UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import typer

    from ..sweeping import Axis, Trial
    from .common import State
    from .training import Lessons

SHORT = {"r": "lora_r", "alpha": "lora_alpha", "dropout": "lora_dropout"}
"""Names that a sweep may use for options; all others go by their flag."""

FIXED = frozenset(
    {"resume", "allow_download", "json", "then_compare", "base_model", "target_modules", "device"}
)
"""Flags that are the same for all trials."""

RECORD = "sweep.json"


def read_axes(ctx: typer.Context, given: Sequence[str], fixed: frozenset[str]) -> list[Axis]:
    """What ``--sweep NAME=V1,V2`` and ``--sweep NAME=LOW..HIGH`` ask for, checked as the flags are.

    Raises:
        UsageError: no such option, or values that cannot be.
    """
    from ..sweeping import Axis

    left_out = fixed | FIXED
    flags = {p.name: p for p in ctx.command.params if p.name and p.name not in left_out}
    axes: list[Axis] = []
    for text in given:
        word, _, listed = text.partition("=")
        name = SHORT.get(word, word.lstrip("-").replace("-", "_"))
        if name not in flags or not listed:
            raise UsageError(
                f"--sweep {text!r} is not NAME=VALUE,VALUE of an option.",
                did_you_mean(name, flags) if name not in flags else "Write r=8,16 or lr=1e-5..1e-3",
            )
        if any(axis.name == name for axis in axes):
            raise UsageError(f"--sweep names {name!r} twice.", "Put all values into one.")
        is_range = ".." in listed
        values = [
            flags[name].process_value(ctx, value.strip())
            for value in listed.split(".." if is_range else ",")
        ]
        if any(isinstance(value, str) for value in values) and is_range:
            raise UsageError(f"--sweep {text!r} has no numbers.", "List the values: a,b,c.")
        try:
            axes.append(Axis(name=name, values=tuple(values), is_range=is_range))
        except ValueError as error:
            raise UsageError(f"--sweep {text!r} cannot be: {error}.") from error
    return axes


def sweep_training(
    here: State,
    lessons: Lessons,
    output: Path,
    options: Mapping[str, Any],
    axes: Sequence[Axis],
    *,
    metric: str | None,
    trials: int | None,
    prune: bool,
) -> dict[str, Any]:
    """Train each trial in ``output/trial-N`` and keep the best; returns what ``sweep.json`` holds.

    Args:
        here: the command's surroundings.
        lessons: what is trained, and by whom.
        output: where the best model goes, and the trials.
        options: of the trainer, where they are not swept.
        axes: what is swept.
        metric: what trials are judged by; None is the validation loss.
        trials: how many; None tries the whole grid.
        prune: whether hopeless ones are broken off.

    Raises:
        UsageError: another sweep is there, or this one may not be resumed so.
        DataError: no trial could be finished.
    """
    from ..store import write_atomic
    from ..store.codec import to_json
    from ..sweeping import Sweep

    sweep = Sweep(
        axes=axes,
        folder=output,
        trials=trials,
        seed=int(options["seed"]),
        maximize=metric is not None and here.plugins.metric(metric).higher_is_better,
        prune=prune,
    )
    asked = _asked(lessons, options, axes, metric, trials, prune)
    _check_folder(output, asked, resume=bool(options["resume"]))
    output.mkdir(parents=True, exist_ok=True)

    def tell(found: list[Trial]) -> None:
        rows = [{**asdict(trial), "folder": f"trial-{trial.number}"} for trial in found]
        write_atomic(output / RECORD, to_json({"finished": False, **asked, "trials": rows}) + "\n")

    def train(number: int, swept: Mapping[str, Any], report: Callable[[int, float], None]) -> float:
        folder = output / f"trial-{number}"
        said = ", ".join(f"{name} {value}" for name, value in swept.items())
        here.say(f"trial {number}: {said}")
        return _judged(here, lessons, folder, {**options, **swept}, metric, report)

    found = sweep.run(train, tell)
    best = sweep.best(found)
    _keep(here, lessons.trainer, output / f"trial-{best.number}", output)
    record = {
        "finished": True,
        **asked,
        "best": {"trial": best.number, "options": dict(best.options), "value": best.value},
        "trials": [{**asdict(trial), "folder": f"trial-{trial.number}"} for trial in found],
    }
    write_atomic(output / RECORD, to_json(record) + "\n")
    return record


def _asked(
    lessons: Lessons,
    options: Mapping[str, Any],
    axes: Sequence[Axis],
    metric: str | None,
    trials: int | None,
    prune: bool,
) -> dict[str, Any]:
    """What a sweep that goes on must have in common with its beginning."""
    swept = {axis.name for axis in axes}
    return {
        "judged_by": metric or "validation loss",
        "role": lessons.role.name,
        "trainer": lessons.trainer,
        "space": {
            axis.name: f"{axis.values[0]}..{axis.values[1]}" if axis.is_range else [*axis.values]
            for axis in axes
        },
        "max_trials": trials,
        "prune": prune,
        "options": {
            name: value for name, value in options.items() if name not in swept | {"resume"}
        },
    }


def _check_folder(output: Path, asked: Mapping[str, Any], *, resume: bool) -> None:
    from ..store.codec import read_json, to_data

    path = output / RECORD
    if not path.is_file():
        if (output / "training_info.json").is_file():
            raise UsageError(
                f"{str(output)!r} already holds a training run.", "Choose another --output."
            )
        return
    if not resume:
        raise UsageError(
            f"{str(output)!r} already holds a sweep.",
            "Go on with --resume, or choose another --output.",
        )
    before = read_json(path, "sweep")
    different = [name for name, value in to_data(dict(asked)).items() if before.get(name) != value]
    if different:
        name = different[0]
        raise UsageError(
            f"The sweep in {str(output)!r} was begun differently: {name} was {before.get(name)!r}.",
            "Give the same options, or choose another --output.",
        )


def _judged(
    here: State,
    lessons: Lessons,
    folder: Path,
    options: Mapping[str, Any],
    metric: str | None,
    report: Callable[[int, float], None],
) -> float:
    from .training import train_once

    losses: list[float] = []

    def watch(step: Mapping[str, Any]) -> None:
        if "val_loss" in step:
            losses.append(float(step["val_loss"]))
            report(round(step.get("epoch") or len(losses)), losses[-1])

    begun = (folder / "training_info.json").is_file()
    info = train_once(here, lessons, folder, {**options, "resume": begun}, watch)
    if metric is not None:
        return _score(here, lessons.role.name, f"{lessons.trainer}:{folder}", metric, options)
    told = info.get("best_val_loss", min(losses, default=None))
    if told is None:
        raise DataError(
            f"The trainer {lessons.trainer!r} tells no validation loss.",
            "Judge the trials with --sweep-metric.",
        )
    return float(told)


def _score(here: State, role: str, spec: str, metric: str, options: Mapping[str, Any]) -> float:
    """The mean of a model's scores on the validation examples.

    Raises:
        DataError: it has no score.
    """
    from .evaluate import own_benchmark
    from .running import asked_for, finish, measured_by, start

    dataset = str(options["val_dataset"])
    frozen = own_benchmark(here, role, Path(dataset))
    chosen = frozen.with_overrides(
        models={"model": spec},
        incumbent="model",
        dataset=dataset,
        dataset_sha256="",
        **measured_by(here, frozen, None, metric),
    )
    asked = asked_for(
        concurrency=8, timeout=600.0, retries=3, limit=options["val_limit"], repeats=1,
        allow_invalid=False, options={"device": options["device"]},
    )  # fmt: skip
    outcome = finish(here, start(here, chosen, asked, None))
    mean = outcome.report.arms[0].summary.mean
    if mean is None or outcome.problems:
        raise DataError(f"{spec} has no score: {'; '.join(outcome.problems) or 'no example'}.")
    return mean


def _keep(here: State, trainer: str, source: Path, target: Path) -> None:
    """Copy the model of a trial to where the sweep's is looked for."""
    from ..protocols import ModelCopier

    maker = here.plugins.make("trainers", trainer)
    if isinstance(maker, ModelCopier):
        with here.plugins.calling("trainers", trainer):
            maker.copy_model(source, target)
        return
    skipped = shutil.ignore_patterns("checkpoint-*")
    shutil.copytree(source, target, dirs_exist_ok=True, ignore=skipped)
