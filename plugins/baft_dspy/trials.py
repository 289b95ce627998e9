"""Scores programs during a search, the way an arm of a comparison is scored, and remembers each.

A failure is not a score: it is counted and left out of the mean, a program with failures cannot
win, and more failures than the user allows end the search.
"""

from __future__ import annotations

from concurrent.futures import as_completed, wait
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

import dspy

from baft import Generation

from . import program as programs
from .batcher import ASKING, Asking, Batcher
from .journal import Spent
from .lm import answered, run_program

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from baft import Decoding, Example, Extraction, Metric, Prediction, Role, Score

    from .journal import Journal


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
    calls: int
    """Prompts sent since the trial before, those that made its program included."""
    tokens: int
    minutes: float


class Trials:
    """What a search calls to score a program; see ``Trial``."""

    def __init__(
        self,
        *,
        role: Role,
        metric: Metric,
        extraction: Extraction,
        batcher: Batcher,
        lm: Any,
        decoding: Decoding,
        journal: Journal,
        log: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self.role = role
        self.metric = metric
        self.journal = journal
        self.done: list[Trial] = []
        self.programs: dict[str, Any] = {}
        """Every program scored, by its digest."""
        self.best: Trial | None = None
        """The best complete trial; the earlier of two equals."""
        self.total = 0
        """Trials there will be, at most."""
        self.selection = 0
        """Examples of a full trial."""
        self.log = log
        self._extraction: Extraction = extraction
        self._batcher = batcher
        self._lm = lm
        self._decoding = decoding
        self._examples: dict[int, tuple[Any, Example]] = {}
        self._spent = (0, 0, 0.0)

    def known(self, example: Example, texts: Mapping[str, Any]) -> Any:
        """A DSPy example that finds its way back to ours."""
        inputs = [field.name for field in self.role.inputs]
        made = dspy.Example(**texts).with_inputs(*inputs)
        self._examples[id(made)] = (made, example)  # kept alive, so that the id stays its own
        return made

    def original(self, made: Any) -> Example:
        """The example that DSPy's was made from."""
        return self._examples[id(made)][1]

    def plain(self, program: Any) -> Any:
        """The role's program with another's instructions and demonstrations, and nothing else."""
        plain = programs.build(self.role)
        plain.generate.signature = program.generate.signature
        plain.generate.demos = list(program.generate.demos)
        return plain

    def __call__(self, program: Any, devset: Sequence[Any], **_: Any) -> Any:
        """Score a program for DSPy: higher is better, whatever the metric says."""
        full = len(devset) == self.selection
        plain = self.plain(program)
        sha256 = programs.program_sha256(plain)
        earlier = self.scored(sha256) if full else None
        failed_before = len(self.journal.failures)
        judged = [] if earlier else self.judge(plain, devset)
        values = [one.value for one in judged]
        failures = earlier.failures if earlier else len(self.journal.failures) - failed_before
        score = fmean(values) if values else None
        spent = (self.journal.calls, self.journal.tokens, self.journal.minutes)
        trial = Trial(
            trial=len(self.done) + 1,
            score=earlier.score if earlier else score,
            examples=len(devset),
            failures=failures,
            full=full,
            repeated=earlier is not None,
            instructions=plain.generate.signature.instructions,
            demos=len(plain.generate.demos),
            program_sha256=sha256,
            calls=spent[0] - self._spent[0],
            tokens=spent[1] - self._spent[1],
            minutes=spent[2] - self._spent[2],
        )
        self._spent = spent
        self._remember(trial, plain)
        return dspy.Prediction(score=self.worth(trial.score), results=[])

    def scored(self, sha256: str) -> Trial | None:
        """The full trial of a program, if there was one."""
        same = (trial for trial in self.done if trial.full and trial.program_sha256 == sha256)
        return next(same, None)

    def worth(self, score: float | None) -> float:
        """The score such that higher is better; a program without any score is worth least."""
        if score is None:
            return -1e9
        return score if self.metric.higher_is_better else -score

    def measure(self, program: Any, example: Any) -> Generation | None:
        """One answer, to estimate the others by; None where there is none.

        Raises:
            Stopped: the model is gone.
        """
        original = self.original(example)
        asking = Asking(original.id, original.inputs, self._decoding)
        (future,) = self._batcher.run(lambda one: self._answer(program, one), [asking])
        try:
            return future.result()  # type: ignore[no-any-return]
        except Exception as error:  # border: single example; asked, and counted, again later
            if getattr(error, "gone", False):
                self.journal.note(original.id, error)
            return None

    def judge(self, program: Any, devset: Sequence[Any]) -> list[Judged]:
        """Answer and score examples; those that fail are noted and left out.

        Raises:
            Stopped: the model is gone, or failed more often than allowed.
            Spent: the budget does not cover all of them.
        """
        examples = [self.original(one) for one in devset]
        askings = [Asking(e.id, e.inputs, self._decoding) for e in examples]
        futures = self._batcher.run(lambda asking: self._answer(program, asking), askings)
        of = dict(zip(futures, examples, strict=True))
        judged = {}
        try:
            for number, future in enumerate(as_completed(futures), 1):
                try:
                    judged[future] = self._score(of[future], future.result())
                except Exception as error:  # border: single example
                    self.journal.note(of[future].id, error)
                self._tell(example=number, examples=len(futures))
        except Spent:
            wait(futures)  # what was sent is paid for
            raise
        except BaseException:
            for asking in askings:
                asking.cancel()
            raise
        return [judged[future] for future in futures if future in judged]

    def _answer(self, program: Any, asking: Asking) -> Generation:
        return run_program(program, self._lm, asking)

    def _score(self, example: Example, generation: Generation) -> Judged:
        prediction = self.role.parse(generation, self._extraction)
        value = self.metric.score(example, prediction).value
        return Judged(example=example, prediction=prediction, value=value)

    def score_of(self, example: Any, prediction: Any) -> Score:
        """What a ``Student``'s prediction is worth; a metric that raises is a failure.

        Raises:
            Stopped: more failures than allowed.
        """
        original = self.original(example)
        try:
            read = self.role.parse(prediction._generation, self._extraction)
            return self.metric.score(original, read)
        except Exception as error:  # border: single example; noted here, raised on
            self.journal.note(original.id, error)
            raise

    def _remember(self, trial: Trial, program: Any) -> None:
        self.done.append(trial)
        self.programs.setdefault(trial.program_sha256, program)
        complete = trial.full and not trial.failures and trial.score is not None
        best = self.worth(self.best.score) if self.best else float("-inf")
        if complete and self.worth(trial.score) > best:
            self.best = trial
        self._tell(trial=trial.trial, score=trial.score)

    def _tell(self, **facts: Any) -> None:
        """Progress: trials done of how many, the best so far, what was spent."""
        trial = facts.pop("trial", len(self.done))
        self.log(
            {
                "trial": trial,
                "total": max(self.total, trial),
                **facts,
                "best": self.best.score if self.best else None,
                "calls": self.journal.calls,
                "tokens": self.journal.tokens,
            }
        )

    def table(self) -> list[dict[str, Any]]:
        """Every trial as JSON."""
        return [asdict(trial) for trial in self.done]


class Student(programs.RoleProgram):
    """What DSPy runs by itself: its predictions carry the answer, word for word, to the metric."""

    def forward(self, **inputs: Any) -> Any:
        """Ask once, as the role's program does."""
        asking = Asking("asked by DSPy", inputs, counted=False)
        token = ASKING.set(asking)
        try:
            prediction = super().forward(**inputs)
        finally:
            ASKING.reset(token)
        prediction._generation = answered(self, prediction, asking)
        return prediction
