"""DSPy's optimizers over any backend, with a baseline to beat and everything written down.

The selection set is given; the baseline program is scored on it first, under the same conditions;
where nothing beats it, the output is the baseline program, and the info says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib.util
import io
import logging
import random
import warnings
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tqdm  # type: ignore[import-untyped]
from dspy.teleprompt.mipro_optimizer_v2 import AUTO_RUN_SETTINGS

from baft import BackendError, Decoding, Interrupted, UsageError

from . import instructions as ideas
from . import program as programs
from .batcher import Batcher
from .facts import asked_for, begun, data_used
from .journal import Journal, Recorded, Spent, Stopped
from .lm import Engine, language_model, surroundings
from .options import Options
from .plan import Task, estimate_text
from .trials import Student, Trials
from .ways import WAYS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from baft import Backend, Example, Metric, Role

    from .plan import Way

THREADS = 8
"""Programs at once over a server that names no bound: what a comparison asks at once, too."""


class DspyOptimizer:
    """One of DSPy's optimizers; see the module.

    Args:
        name: a key of ``ways.WAYS``.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def optimize(
        self,
        role: Role,
        metric: Metric,
        train: Sequence[Example],
        val: Sequence[Example],
        lm: Backend,
        output: Path,
        options: Mapping[str, Any],
        log: Callable[[Mapping[str, Any]], None],
    ) -> Mapping[str, Any]:
        """Write the best program found; ``lm`` (and ``prompt_lm``) are closed at the end.

        Raises:
            UsageError: no examples, options out of range, a package that is missing, or a search
                that cannot be resumed so.
            BackendError: the model is gone, or failed more often than ``max_errors`` allows.
            Interrupted: Ctrl-C; what was answered is kept for ``resume``.
        """
        chosen = _checked(Options.read(options), train, val)
        way = WAYS[self.name]
        _check_package(self.name, way)
        threads = chosen.threads or (
            lm.batch_size if lm.batch_size > 1 else lm.max_concurrency or THREADS
        )
        batcher = Batcher(lm, threads=threads)
        other = chosen.prompt_lm
        prompter = batcher if other is None or other is lm else Batcher(other, threads=1)
        journal = Journal(output, chosen.budget, chosen.max_errors)
        complete = False
        try:
            facts = asked_for(self.name, role, metric, lm, output, options, chosen, threads)
            facts["data"] = data_used(options, train, val)
            journal.open(begun(facts, chosen), resume=chosen.resume)
            run = _Run(role, metric, chosen, way, batcher, prompter, journal, log)
            result = run.search(train, val)
            programs.save(run.winner, role, output)
            info = {**facts, **result}
            programs.write_json(output / "optimization_info.json", info)
            complete = info["stopped"] is None
            return info
        except (BackendError, Interrupted) as error:
            if journal.path.is_file():
                again = f"{options.get('command', 'The same')} --resume"
                error.hint = f"{error.hint} Go on with: {again}".strip()
            raise
        finally:
            journal.close(complete=complete)
            for one in dict.fromkeys((batcher, prompter)):
                asyncio.run(one.close())


class _Run:
    """One optimization, from the first call to the winner."""

    def __init__(
        self,
        role: Role,
        metric: Metric,
        options: Options,
        way: Way,
        batcher: Batcher,
        prompter: Batcher,
        journal: Journal,
        log: Callable[[Mapping[str, Any]], None],
    ) -> None:
        decoding = Decoding(
            temperature=options.temperature,
            max_tokens=options.max_tokens,
            seed=options.seed,
            num_ctx=options.num_ctx,
        )
        self.baseline = programs.build(role)
        self.winner: Any = self.baseline
        self._role = role
        self._metric = metric
        self._options = options
        self._way = way
        self._batchers = dict.fromkeys((batcher, prompter))
        self._threads = batcher.threads
        self._at_once = min(batcher.threads, batcher.backend.max_concurrency or batcher.threads)
        self._log = log
        recorded = Recorded(batcher, batcher.backend.fingerprint(), journal)
        asked = (
            recorded
            if prompter is batcher
            else Recorded(prompter, prompter.backend.fingerprint(), journal)
        )
        self._lm = language_model(Engine(recorded, decoding))
        self._prompt_lm = language_model(Engine(asked, decoding, vary_seed=True))
        self._journal = journal
        self._trials = Trials(
            role=role,
            metric=metric,
            extraction=options.extraction,
            batcher=batcher,
            lm=self._lm,
            decoding=decoding,
            journal=journal,
            log=log,
        )

    def search(self, train: Sequence[Example], val: Sequence[Example]) -> dict[str, Any]:
        """Search, set ``winner``, and answer with what the info says of it."""
        chosen = [self._example(one) for one in self._part(val)]
        task = Task(
            options=self._options,
            trials=self._trials,
            baseline=self.baseline,
            student=Student(self.baseline.generate.signature),
            train=[self._example(one) for one in train],
            val=chosen,
            lm=self._lm,
            prompt_lm=self._prompt_lm,
            threads=self._threads,
            instructions=self._instructions(),
            good_enough=self._options.demo_threshold * self._metric.attainable_max,
        )
        plan = self._way.plan(self._options, len(task.train), len(chosen))
        self._trials.total = plan.trials
        self._trials.selection = len(chosen)
        estimate: dict[str, Any] = {}
        stopped = None
        try:
            with _quiet(), surroundings(self._lm):
                measured = self._trials.measure(self.baseline, chosen[0])
                estimate = plan.estimate(measured, self._at_once)
                self._log({"message": estimate_text(estimate)})
                if self._journal.read_back:
                    self._log({"message": f"resumed with {self._journal.read_back} answers"})
                self._trials(self.baseline, chosen)
                self._way.search(task)
        except Spent as spent:
            stopped = str(spent)
            self._log({"message": f"stopped: {stopped}"})
        except Stopped as error:
            raise error.error from error
        except KeyboardInterrupt:
            raise Interrupted(f"Interrupted {self._so_far()}.") from None
        return {**self._result(stopped), "estimate": estimate, **task.facts}

    def _so_far(self) -> str:
        done, best = len(self._trials.done), self._trials.best
        known = f"; the best scores {best.score:.4f}" if best and best.score is not None else ""
        return f"after {done} of {self._trials.total} trials{known}"

    def _part(self, val: Sequence[Example]) -> list[Example]:
        """The examples to select on: with DSPy's presets no more than those use."""
        most = AUTO_RUN_SETTINGS[self._options.auto]["val_size"] if self._options.auto else len(val)
        if len(val) <= most:
            return list(val)
        return random.Random(self._options.seed).sample(list(val), most)

    def _instructions(self) -> list[str]:
        """Instructions to try besides the baseline's: the user's, then those of the role's fields.

        Where a model proposes too, half of the places left are kept for it.
        """
        given = list(self._options.instructions)
        hints = ideas.candidates(self._role) if self._options.hints else []
        left = max(0, self._options.num_candidates - 1 - len(given))
        return given + hints[: left // 2 if self._options.propose else left]

    def _example(self, example: Example) -> Any:
        names = [field.name for field in self._role.inputs]
        texts = {name: programs.as_text(example.inputs.get(name, "")) for name in names}
        reference = example.reference or {}
        if all(field.name in reference for field in self._role.outputs):
            texts |= {f.name: programs.as_text(reference[f.name]) for f in self._role.outputs}
        return self._trials.known(example, texts)

    def _result(self, stopped: str | None) -> dict[str, Any]:
        trials, journal = self._trials, self._journal
        baseline = trials.done[0] if trials.done else None
        best = trials.best or baseline
        improved = (
            best is not None
            and baseline is not None
            and trials.worth(best.score) > trials.worth(baseline.score)
        )
        if not improved:
            best = baseline
        elif best is not None:
            self.winner = trials.programs[best.program_sha256]
        return {
            "result": _told(baseline, best, improved, stopped),
            "improved": improved,
            "stopped": stopped,
            "baseline_score": baseline.score if baseline else None,
            "best_score": best.score if best else None,
            "best_trial": best.trial if best else None,
            "best_instructions": self.winner.generate.signature.instructions,
            "best_demos": len(self.winner.generate.demos),
            "program_sha256": programs.program_sha256(self.winner),
            "trials": trials.table(),
            "candidates": {
                sha256: {
                    "instructions": one.generate.signature.instructions,
                    "demos": programs.state_of(one)["demos"],
                }
                for sha256, one in trials.programs.items()
            },
            "failures": journal.failures,
            "minutes": journal.minutes,
            "calls": journal.calls,
            "batches": sum(batcher.calls for batcher in self._batchers),
            "resumed_answers": journal.read_back,
            "prompt_tokens": journal.prompt_tokens,
            "completion_tokens": journal.completion_tokens,
        }


def _told(baseline: Any, best: Any, improved: bool, stopped: str | None) -> str:
    """The result in words."""
    why = f"Stopped early: {stopped}. " if stopped else ""
    if baseline is None:
        return f"{why}Not even the baseline was scored: the output is the baseline program."
    if not improved:
        return f"{why}No improvement found: the output is the baseline program."
    return (
        f"{why}Trial {best.trial} scores {best.score} where the baseline scores "
        f"{baseline.score}, on the examples that it was chosen on: expect less on others."
    )


def _checked(options: Options, train: Sequence[Any], val: Sequence[Any]) -> Options:
    """The options with the instructions of the file among them, if they and the data will do."""
    if not train or not val:
        raise UsageError(
            f"There are {len(train)} training examples and {len(val)} to select on.",
            "Both are needed.",
        )
    if options.max_calls is not None and options.max_calls < len(val):
        raise UsageError(
            f"The baseline alone takes {len(val)} calls, and max_calls is {options.max_calls}.",
            "Raise --max-calls, or name fewer examples with --val.",
        )
    if options.instructions_file is None:
        return options
    more = ideas.read(Path(options.instructions_file))
    return replace(options, instructions=(*options.instructions, *more))


def _check_package(name: str, way: Way) -> None:
    if way.package is not None and importlib.util.find_spec(way.package) is None:
        raise UsageError(
            f"The optimizer {name} needs the package {way.package}, which is not installed.",
            f"pip install {way.package}",
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress (``log`` tells it) and no warnings about what DSPy does inside itself."""
    loggers = [logging.getLogger(name) for name in ("dspy", "optuna", "gepa")]
    levels = [logger.level for logger in loggers]
    shown = tqdm.tqdm.__init__
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    tqdm.tqdm.__init__ = functools.partialmethod(shown, disable=True)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.filterwarnings("ignore", message=".*[Ee]xperimental")  # of Optuna's sampler
            yield
    finally:
        tqdm.tqdm.__init__ = shown
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
