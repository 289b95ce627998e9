"""``mipro``: DSPy's MIPROv2 over any backend, with a baseline to beat and everything written down.

The selection set is given; the baseline program is scored on it first, under the same conditions;
where nothing beats it, the output is the baseline program, and the info says so.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from baft import Decoding, UsageError

from . import instructions as ideas
from . import program as programs
from .batcher import Batcher
from .lm import Engine, language_model, surroundings
from .recorded import relative
from .search import Search
from .trials import Stopped, Trials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from baft import Backend, Example, Extraction, Generation, Metric, Role


THREADS = 8
"""Programs at once over a server that names no bound: what a comparison asks at once, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What ``optimize`` understands; other options are recorded and have no effect."""

    num_candidates: int = 8
    """Instructions, and sets of demonstrations, to search; the baseline's own are among them."""
    num_trials: int | None = None
    """Programs to score after the baseline; None lets DSPy's rule choose."""
    max_bootstrapped_demos: int = 2
    """Most demonstrations made from the model's own answers."""
    max_labeled_demos: int = 2
    """Most demonstrations in all where references fill the places left."""
    minibatch: bool = True
    """Score trials on part of the selection set, if it is larger than that part."""
    minibatch_size: int = 35
    seed: int = 42
    max_errors: int = 10
    """Failures that are borne in the whole search."""
    threads: int | None = None
    """Programs at once; None: the batch size of a local model, what a server bears, or 8."""
    temperature: float = 0.7
    max_tokens: int = 2048
    num_ctx: int = 8192
    extraction: Extraction = "lenient"
    auto: Literal["light", "medium", "heavy"] | None = None
    """DSPy's presets, in place of the numbers of candidates and trials and the minibatch."""
    propose: bool = True
    """Let a model write instructions; small models write poor ones."""
    hints: bool = True
    """Try instructions made from the role's fields; see ``instructions``."""
    instructions: tuple[str, ...] = ()
    """More instructions to try, all of them."""
    instructions_file: str | None = None
    """The same from a text file, separated by lines of ``---``."""
    demo_threshold: float = 0.8
    """Least score of an answer that becomes a demonstration, as a share of the best attainable."""
    prompt_lm: Backend | None = None
    """Writes the instructions; None: the model that is optimized for."""

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> Options:
        """The options that are known and given.

        Raises:
            UsageError: one of them is out of range.
        """
        known = {field.name for field in fields(cls)}
        given = {k: v for k, v in options.items() if k in known and v is not None}
        given["instructions"] = tuple(given.get("instructions", ()))
        self = cls(**given)
        for name, least in (("num_candidates", 1), ("num_trials", 1), ("minibatch_size", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(f"{name} must be at least {least}, not {value}.")
        return self


class Mipro:
    """The optimizer; see the module."""

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
            UsageError: no examples, or options out of range.
            BackendError: the model is gone, or failed more often than ``max_errors`` allows.
        """
        chosen = Options.read(options)
        if not train or not val:
            raise UsageError(
                f"There are {len(train)} training examples and {len(val)} to select on.",
                "Both are needed.",
            )
        threads = chosen.threads or (
            lm.batch_size if lm.batch_size > 1 else lm.max_concurrency or 8
        )
        batcher = Batcher(lm, threads=threads)
        other = chosen.prompt_lm
        prompter = batcher if other is None or other is lm else Batcher(other, threads=1)
        try:
            run = _Run(role, metric, chosen, batcher, prompter, log)
            facts = _facts(role, metric, lm, output, options, chosen, threads)
            result = run.search(train, val)
            programs.save(run.winner, role, output)
            info = {**facts, **result}
            programs.write_json(output / "optimization_info.json", info)
            return info
        finally:
            for one in dict.fromkeys((batcher, prompter)):
                asyncio.run(one.close())


class _Run:
    """One optimization, from the first call to the winner."""

    def __init__(
        self,
        role: Role,
        metric: Metric,
        options: Options,
        batcher: Batcher,
        prompter: Batcher,
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
        self._batchers = dict.fromkeys((batcher, prompter))
        self._answers: list[tuple[int, int]] = []  # tokens of prompt and answer, by request
        self._lm = language_model(Engine(batcher, decoding, heard=self._heard))
        self._prompt_lm = language_model(
            Engine(prompter, decoding, vary_seed=True, heard=self._heard)
        )
        self._trials = Trials(
            role=role,
            metric=metric,
            extraction=options.extraction,
            batcher=batcher,
            lm=self._lm,
            decoding=decoding,
            max_errors=options.max_errors,
            log=log,
        )

    def _heard(self, generation: Generation) -> None:
        self._answers.append((generation.prompt_tokens or 0, generation.completion_tokens or 0))

    def search(self, train: Sequence[Example], val: Sequence[Example]) -> dict[str, Any]:
        """Search, set ``winner``, and answer with what the info says of it."""
        started = time.monotonic()
        given = self._given()
        minibatch = self._options.minibatch and len(val) > self._options.minibatch_size
        search = Search(
            self._trials,
            instructions=given,
            propose=self._options.propose,
            good_enough=self._options.demo_threshold * self._metric.attainable_max,
            attempts=max(16, 8 * self._options.max_bootstrapped_demos),
            prompt_model=self._prompt_lm,
            task_model=self._lm,
            auto=self._options.auto,
            num_candidates=None if self._options.auto else self._options.num_candidates,
            max_bootstrapped_demos=self._options.max_bootstrapped_demos,
            max_labeled_demos=self._options.max_labeled_demos,
            max_errors=self._options.max_errors,
            seed=self._options.seed,
        )
        try:
            with _quiet(), surroundings(self._lm):
                search.compile(
                    self.baseline,
                    trainset=[self._example(one) for one in train],
                    valset=[self._example(one) for one in val],
                    num_trials=None if self._options.auto else self._num_trials(len(given)),
                    seed=self._options.seed,
                    minibatch=minibatch,
                    minibatch_size=self._options.minibatch_size,
                )
        except Stopped as stopped:
            raise stopped.error from stopped
        return self._result(search, time.monotonic() - started)

    def _given(self) -> list[str]:
        """Instructions to try besides the baseline's: the user's, then those of the role's fields.

        Where a model proposes too, half of the places left are kept for it.
        """
        given = list(self._options.instructions)
        if self._options.instructions_file:
            given += ideas.read(Path(self._options.instructions_file))
        hints = ideas.candidates(self._role) if self._options.hints else []
        left = max(0, self._options.num_candidates - 1 - len(given))
        return given + hints[: left // 2 if self._options.propose else left]

    def _num_trials(self, given: int) -> int:
        """DSPy's own rule for the number of trials, unless one is given."""
        if self._options.num_trials is not None:
            return self._options.num_trials
        demos = self._options.max_bootstrapped_demos or self._options.max_labeled_demos
        candidates = max(self._options.num_candidates, given + 1)
        variables = 2 if demos else 1
        return int(max(2 * variables * math.log2(max(2, candidates)), 1.5 * candidates))

    def _example(self, example: Example) -> Any:
        names = [field.name for field in self._role.inputs]
        texts = {name: programs.as_text(example.inputs.get(name, "")) for name in names}
        reference = example.reference or {}
        if all(field.name in reference for field in self._role.outputs):
            texts |= {f.name: programs.as_text(reference[f.name]) for f in self._role.outputs}
        return self._trials.known(example, texts)

    def _result(self, search: Search, seconds: float) -> dict[str, Any]:
        trials = self._trials
        baseline = trials.done[0]
        best = trials.best[0] if trials.best else baseline
        improved = trials.worth(best.score) > trials.worth(baseline.score)
        if improved and trials.best is not None:
            self.winner = trials.best[1]
        else:
            best = baseline
        return {
            "result": (
                f"Trial {best.trial} scores {best.score} where the baseline scores "
                f"{baseline.score}, on the examples that it was chosen on: expect less on others."
                if improved
                else "No improvement found: the output is the baseline program."
            ),
            "improved": improved,
            "baseline_score": baseline.score,
            "best_score": best.score,
            "best_trial": best.trial,
            "best_instructions": best.instructions,
            "best_demos": best.demos,
            "program_sha256": programs.program_sha256(self.winner),
            "minibatch": search.minibatch,
            "instructions": search.candidates,
            "demo_sets": [len(demos) for demos in search.demo_sets],
            "proposals_dropped": search.dropped,
            "trials": trials.table(),
            "failures": trials.failures,
            "minutes": seconds / 60,
            "calls": sum(batcher.calls for batcher in self._batchers),
            "requests": len(self._answers),
            "prompt_tokens": sum(prompt for prompt, _ in self._answers),
            "completion_tokens": sum(answer for _, answer in self._answers),
        }


def _facts(
    role: Role,
    metric: Metric,
    lm: Backend,
    output: Path,
    options: Mapping[str, Any],
    chosen: Options,
    threads: int,
) -> dict[str, Any]:
    """What was asked for, and of what."""
    used = {field.name: getattr(chosen, field.name) for field in fields(chosen)}
    arguments = {**options, **used, "threads": threads}
    del arguments["prompt_lm"]
    prompt_lm = chosen.prompt_lm or lm
    return {
        "role": role.name,
        "optimizer": "mipro",
        "metric": metric.name,
        "metric_version": metric.version,
        "attainable_max": metric.attainable_max,
        "lm": relative(lm.spec, output),
        "lm_fingerprint": lm.fingerprint(),
        "lm_config": dict(lm.describe()),
        "prompt_lm": relative(prompt_lm.spec, output),
        "prompt_lm_fingerprint": prompt_lm.fingerprint(),
        "arguments": json.loads(json.dumps(arguments, default=str)),
        "seed": chosen.seed,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {name: version(name) for name in ("baft", "dspy", "optuna")},
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress (``log`` tells it) and no warnings about what DSPy does inside itself."""
    from optuna.exceptions import ExperimentalWarning

    loggers = [logging.getLogger(name) for name in ("dspy", "optuna")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # of the sampler it uses
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
