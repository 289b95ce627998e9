"""A sweep: trainings with other options, chosen and broken off by Optuna, kept in SQLite.

Lists alone are a grid, tried whole and in order; with a range, or a number of trials, Optuna's TPE
(Bergstra et al. 2011) chooses. A killed sweep goes on where it was, its open trial included.
"""

from __future__ import annotations

import itertools
import math
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import BaftError, DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import optuna

    Train = Callable[[int, Mapping[str, Any], Callable[[int, float], None]], float]

DATABASE = "sweep.db"
STARTED = 2
"""Trials that are never broken off: what the next are measured by."""
WIDE = 10
"""A range whose ends differ by this factor is searched by its logarithm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One option and what it may be."""

    name: str
    values: tuple[Any, ...] = ()
    """In the order given; of a range its two ends."""
    is_range: bool = False

    def __post_init__(self) -> None:
        ordered = len(self.values) == 2 and self.values[0] < self.values[1]
        if (self.is_range and not ordered) or len(set(self.values)) < len(self.values):
            raise ValueError("the values must differ, and a range must rise")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One training of a sweep."""

    number: int
    options: Mapping[str, Any]
    """The swept ones."""
    state: str
    """``done``, ``broken off``, ``failed`` or ``open``."""
    value: float | None
    """What it is judged by; None unless done."""
    val_losses: Sequence[float]
    """Validation loss by epoch, as far as it came."""
    wall_s: float | None
    reason: str
    """Why it failed."""


class BrokenOff(BaftError):
    """A trial is worse than the others were at the same epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """What is swept, and how trials are judged."""

    axes: Sequence[Axis]
    folder: Path
    trials: int | None
    """How many; None tries the whole grid."""
    seed: int
    maximize: bool
    """Whether a greater value is better; validation losses never are."""
    prune: bool
    """Whether trials worse than the median of the others at an epoch are broken off."""

    def __post_init__(self) -> None:
        if any(axis.is_range for axis in self.axes) and self.trials is None:
            raise UsageError("A range has no end of trials.", "Give --sweep-trials N.")

    def run(
        self,
        train: Train,
        tell: Callable[[list[Trial]], None],
    ) -> list[Trial]:
        """Run every trial that is missing; returns all, those of earlier runs included.

        Args:
            train: trains and judges one trial, by number and swept options; it calls its third
                argument with each epoch and its validation loss.
            tell: hears of all trials before the first and after each.

        Raises:
            DataError: no trial could be finished.
        """
        with _optuna() as study_of:
            study = study_of(self)
            self._enqueue(study)
            tell(read_trials(study))
            while (trial := self._next(study)) is not None:
                self._try(study, trial, train)
                tell(read_trials(study))
            trials = read_trials(study)
        if not any(trial.state == "done" for trial in trials):
            raise DataError(
                f"None of {len(trials)} trials could be finished; the first: {trials[0].reason}",
                "Sweep over other values.",
            )
        return trials

    def best(self, trials: Sequence[Trial]) -> Trial:
        """The best of those done; of equals the first."""
        sign = -1 if self.maximize else 1
        done = [trial for trial in trials if trial.state == "done"]
        return min(done, key=lambda trial: (sign * (trial.value or 0.0), trial.number))

    def _enqueue(self, study: optuna.Study) -> None:
        """Every point of the grid that is neither tried nor waiting; failed ones once more."""
        if self.trials is not None:
            return
        from optuna.trial import TrialState

        names = [axis.name for axis in self.axes]
        taken = [
            trial.params or trial.system_attrs.get("fixed_params", {})
            for trial in study.get_trials(deepcopy=False)
            if trial.state != TrialState.FAIL
        ]
        for values in itertools.product(*(axis.values for axis in self.axes)):
            point = dict(zip(names, values, strict=True))
            if point not in taken:
                study.enqueue_trial(point)

    def _next(self, study: optuna.Study) -> optuna.Trial | None:
        """The trial that a killed process left open, else the next one; None at the end."""
        import optuna
        from optuna.trial import TrialState

        trials = study.get_trials(deepcopy=False)
        for found in trials:
            if found.state == TrialState.RUNNING:
                return optuna.Trial(study, found._trial_id)
        is_waiting = any(found.state == TrialState.WAITING for found in trials)
        if not is_waiting and len(trials) >= (self.trials or 0):
            return None
        # by number, so that a sweep that was killed chooses as an unbroken one
        study.sampler = optuna.samplers.TPESampler(seed=self.seed + len(trials))
        return study.ask()

    def _try(
        self,
        study: optuna.Study,
        trial: optuna.Trial,
        train: Train,
    ) -> None:
        from optuna.trial import TrialState

        options = {axis.name: _suggested(trial, axis) for axis in self.axes}
        known = study.get_trials(deepcopy=False)[trial.number].intermediate_values
        sign = -1 if self.maximize else 1

        def report(epoch: int, val_loss: float) -> None:
            if epoch not in known:  # told before it was killed
                trial.report(sign * val_loss, epoch)
            if self.prune and trial.should_prune():
                raise BrokenOff("worse than the median of the others at this epoch")

        try:
            value = train(trial.number, options, report)
        except BrokenOff:
            study.tell(trial, state=TrialState.PRUNED)
        except DataError as error:  # such as a loss that is not finite: the next may do better
            trial.set_user_attr("reason", error.message)
            study.tell(trial, state=TrialState.FAIL)
        else:
            if not math.isfinite(value):
                trial.set_user_attr("reason", f"it is judged by {value}")
                study.tell(trial, state=TrialState.FAIL)
            else:
                study.tell(trial, value)


def read_trials(study: optuna.Study) -> list[Trial]:
    """The trials begun so far, by number."""
    from optuna.trial import TrialState

    sign = -1 if study.direction.name == "MAXIMIZE" else 1
    states = {TrialState.COMPLETE: "done", TrialState.PRUNED: "broken off",
              TrialState.FAIL: "failed", TrialState.RUNNING: "open"}  # fmt: skip
    return [
        Trial(
            number=found.number,
            options=dict(found.params),
            state=states[found.state],
            value=found.value if found.state == TrialState.COMPLETE else None,
            val_losses=[sign * value for _, value in sorted(found.intermediate_values.items())],
            wall_s=found.duration.total_seconds() if found.duration else None,
            reason=found.user_attrs.get("reason", ""),
        )
        for found in study.get_trials(deepcopy=False)
        if found.state in states
    ]


def _suggested(trial: optuna.Trial, axis: Axis) -> Any:
    if not axis.is_range:
        return trial.suggest_categorical(axis.name, axis.values)
    low, high = axis.values
    is_wide = low > 0 and high / low >= WIDE
    if isinstance(low, int):
        return trial.suggest_int(axis.name, low, high, log=is_wide)
    return trial.suggest_float(axis.name, low, high, log=is_wide)


@contextmanager
def _optuna() -> Iterator[Callable[[Sweep], optuna.Study]]:
    """Optuna without its notices; opens the study of a sweep.

    Raises:
        UsageError: it is not installed, or another process sweeps here.
    """
    from filelock import FileLock, Timeout

    try:
        import optuna
        from sqlalchemy import URL
    except ImportError as error:
        raise UsageError(
            f"A sweep needs the package {error.name!r}, which is not installed.",
            'Install it: pip install "baft[sweep]".',
        ) from error
    opened: list[tuple[FileLock, optuna.storages.RDBStorage]] = []

    def study_of(sweep: Sweep) -> optuna.Study:
        lock = FileLock(sweep.folder / "sweep.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise UsageError(
                f"Another process sweeps in {str(sweep.folder)!r}.", "Wait for it, or stop it."
            ) from error
        url = URL.create("sqlite", database=str(sweep.folder / DATABASE))
        storage = optuna.storages.RDBStorage(url.render_as_string())
        opened.append((lock, storage))
        return optuna.create_study(
            storage=storage,
            study_name="sweep",
            direction="maximize" if sweep.maximize else "minimize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTED),
            load_if_exists=True,
        )

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield study_of
    finally:
        optuna.logging.set_verbosity(before)
        for lock, storage in opened:
            storage.remove_session()
            storage.engine.dispose()
            lock.release()
