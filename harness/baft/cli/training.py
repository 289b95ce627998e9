"""One training: progress, one voice among several processes, a loss curve, a way to go on."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from ..errors import BaftError, Interrupted
from .common import Exit
from .making import StepProgress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from ..protocols import Role
    from ..store import Dataset
    from .common import State

CURVE = "loss_curve.png"

PATIENCE_S = 5.0
"""A launcher ends all processes when one does; the first has so long to say what is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lessons:
    """What is trained, and by whom."""

    role: Role
    train: Dataset
    val: Dataset
    trainer: str
    command: str
    """The command as it was typed."""


def rank(here: State) -> int:
    """Which of the processes of a run this one is, as ``torchrun`` tells it; 0 without it."""
    return _number(here, "RANK")


def processes(here: State) -> int:
    """How many processes train together; 1 without a launcher."""
    return max(1, _number(here, "WORLD_SIZE"))


@contextmanager
def one_voice(here: State) -> Iterator[None]:
    """What every process of a machine comes upon, the first of them says."""
    try:
        yield
    except BaftError:
        if _number(here, "LOCAL_RANK"):
            time.sleep(PATIENCE_S)
            raise typer.Exit(Exit.USAGE) from None
        raise


def train_once(
    here: State,
    lessons: Lessons,
    output: Path,
    options: Mapping[str, Any],
    watch: Callable[[Mapping[str, Any]], None] = lambda step: None,
) -> dict[str, Any]:
    """Train into a folder; returns what ``training_info.json`` holds.

    Args:
        here: the command's surroundings.
        lessons: what is trained, and by whom.
        output: where the model goes, and its loss curve.
        options: of the trainer.
        watch: told of each logged step, as the listeners are.

    Raises:
        Interrupted: by Ctrl-C; the way to go on is named.
    """
    from ..loader import listeners

    is_first = rank(here) == 0
    told = listeners(here.plugins, "baft_training_logged", here.warn) if is_first else None
    maker = here.plugins.make("trainers", lessons.trainer)
    train, val = lessons.train.examples, lessons.val.examples
    try:
        with (
            StepProgress(here, "train", told, output) as log,
            here.plugins.calling("trainers", lessons.trainer),
        ):

            def heard(step: Mapping[str, Any]) -> None:
                log(step)
                watch(step)

            info = dict(maker.train(lessons.role, train, val, output, options, heard))
    except KeyboardInterrupt:
        again = "" if "--resume" in lessons.command.split() else " --resume"
        raise Interrupted("Interrupted.", f"Go on with: {lessons.command}{again}") from None
    except Interrupted:
        if not is_first:
            raise typer.Exit(Exit.INTERRUPTED) from None
        raise
    if is_first:
        draw_losses(here, info, output)
    return info


def draw_losses(here: State, info: Mapping[str, Any], output: Path) -> None:
    """Draw the losses that the trainer tells of; a picture that cannot be is only a warning."""
    from ..reports.charts import losses_png
    from ..reports.history import training_of

    found = training_of({"training": info})
    if found is None:
        return
    try:
        (output / CURVE).write_bytes(losses_png(found))
    except OSError as error:
        here.warn(f"{CURVE} could not be written: {error.strerror}.")


def _number(here: State, name: str) -> int:
    text = here.env.get(name, "0")
    return int(text) if text.isdigit() else 0
