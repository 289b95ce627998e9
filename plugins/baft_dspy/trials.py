"""Scores programs during a search, the way an arm of a comparison is scored, and remembers each.

A failure is not a score: it is counted and left out of the mean, a program with failures cannot
win, and more failures than the user allows end the search.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

import dspy

from baft import BackendError, Generation

from . import program as programs
from .batcher import Asking, Batcher
from .lm import run_program

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from baft import Decoding, Example, Extraction, Metric, Prediction, Role

RETRIES = 3
"""Further tries after a failure that another try may cure, as in a comparison."""


class Stopped(BaseException):
    """Ends a search from inside DSPy, which takes any ``Exception`` for a score of 0."""

    def __init__(self, error: BackendError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One training example, answered and scored."""

    example: Example
    prediction: Prediction
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One program on (part of) the selection set."""

    trial: int
    """From 1; the first is the baseline."""
    score: float | None
    """Mean over the examples with a score; None where there is none."""
    examples: int
    failures: int
    full: bool
    """All examples, so that the score can be compared with the baseline's."""
    repeated: bool
    """Scored before; nothing was asked again."""
    instructions: str
    demos: int
    program_sha256: str
    seconds: float


class Trials:
    """What DSPy's search calls to score a program; see ``Trial``."""

    def __init__(
        self,
        *,
        role: Role,
        metric: Metric,
        extraction: Extraction,
        batcher: Batcher,
        lm: Any,
        decoding: Decoding,
        max_errors: int,
        log: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self.role = role
        self.metric = metric
        self.done: list[Trial] = []
        self.failures: list[str] = []
        """One sentence for each."""
        self.best: tuple[Trial, Any] | None = None
        """The best complete trial with its program; the earlier of two equals."""
        self.total = 0
        """Trials there will be."""
        self.selection = 0
        """Examples of a full trial."""
        self._extraction: Extraction = extraction
        self._batcher = batcher
        self._lm = lm
        self._decoding = decoding
        self._max_errors = max_errors
        self._log = log
        self._examples: dict[int, tuple[Any, Example]] = {}

    def known(self, example: Example, texts: Mapping[str, str]) -> Any:
        """The example as DSPy wants it; ``texts`` are its inputs, and its outputs if it has any."""
        made = dspy.Example(**texts).with_inputs(*(field.name for field in self.role.inputs))
        self._examples[id(made)] = (made, example)  # kept alive, so that the id stays its own
        return made

    def __call__(self, program: Any, devset: Sequence[Any], **_: Any) -> Any:
        """Score a program for DSPy: higher is better, whatever the metric says."""
        started = time.monotonic()
        full = len(devset) == self.selection
        sha256 = programs.program_sha256(program)
        earlier = next(
            (t for t in self.done if full and t.full and t.program_sha256 == sha256), None
        )
        failed_before = len(self.failures)
        judged = [] if earlier else self.judge(program, devset)
        values = [one.value for one in judged]
        failures = earlier.failures if earlier else len(self.failures) - failed_before
        score = fmean(values) if values else None
        trial = Trial(
            trial=len(self.done) + 1,
            score=earlier.score if earlier else score,
            examples=len(devset),
            failures=failures,
            full=full,
            repeated=earlier is not None,
            instructions=program.generate.signature.instructions,
            demos=len(program.generate.demos),
            program_sha256=sha256,
            seconds=time.monotonic() - started,
        )
        self._remember(trial, program)
        return dspy.Prediction(score=self.worth(trial.score), results=[])

    def _scored_before(self, sha256: str) -> Trial | None:
        same = (trial for trial in self.done if trial.full and trial.program_sha256 == sha256)
        return next(same, None)

    def worth(self, score: float | None) -> float:
        """The score such that higher is better; a program without any score is worth least."""
        if score is None:
            return -1e9
        return score if self.metric.higher_is_better else -score

    def judge(self, program: Any, devset: Sequence[Any]) -> list[Judged]:
        """Answer and score examples; those that fail are noted and left out.

        Raises:
            Stopped: the model is gone, or failed more often than allowed.
        """
        examples = [self._examples[id(one)][1] for one in devset]
        askings = [Asking(e.id, e.inputs, self._decoding) for e in examples]
        futures = self._batcher.run(lambda asking: self._answer(program, asking), askings)
        judged = []
        try:
            for example, future in zip(examples, futures, strict=True):
                try:
                    judged.append(self._score(example, future.result()))
                except Exception as error:  # border: single example
                    self._note(example, error)
        except BaseException:
            for asking in askings:
                asking.cancel()
            raise
        return judged

    def _answer(self, program: Any, asking: Asking) -> Generation:
        for attempt in range(RETRIES):
            try:
                return run_program(program, self._lm, asking)
            except BackendError as error:
                if not error.retryable or error.gone or asking.cancelled:
                    raise
                time.sleep(error.retry_after_s or 0.5 * 2**attempt)
        return run_program(program, self._lm, asking)

    def _score(self, example: Example, generation: Generation) -> Judged:
        prediction = self.role.parse(generation, self._extraction)
        value = self.metric.score(example, prediction).value
        return Judged(example=example, prediction=prediction, value=value)

    def _note(self, example: Example, error: Exception) -> None:
        text = str(error).strip().split("\n")[0].rstrip(".")
        self.failures.append(f"{example.id}: {type(error).__name__}: {text}.")
        gone = isinstance(error, BackendError) and error.gone
        if gone or len(self.failures) > self._max_errors:
            many = f"{len(self.failures)} answers failed, more than --max-errors allows; the last: "
            said = error.message if isinstance(error, BackendError) else self.failures[-1]
            hint = error.hint if isinstance(error, BackendError) else "See the failure named."
            raise Stopped(BackendError(said if gone else many + said, hint, gone=gone)) from error

    def _remember(self, trial: Trial, program: Any) -> None:
        self.done.append(trial)
        complete = trial.full and not trial.failures and trial.score is not None
        best = self.worth(self.best[0].score) if self.best else float("-inf")
        if complete and self.worth(trial.score) > best:
            self.best = (trial, program.deepcopy())
        self._log(
            {
                "trial": trial.trial,
                "total": max(self.total, trial.trial),
                "score": trial.score,
                "best": self.best[0].score if self.best else None,
            }
        )

    def table(self) -> list[dict[str, Any]]:
        """Every trial as JSON."""
        return [asdict(trial) for trial in self.done]
