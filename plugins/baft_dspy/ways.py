"""DSPy's optimizers by name, each searching as DSPy wrote it, each judged by ``Trials`` alone.

What DSPy runs by itself is a ``Student`` and goes through the search's journal; a program that it
evaluates is asked and scored here first, so that DSPy finds every answer on record. Inside DSPy a
failure counts 0 and may steer the search; it never enters a score that the choice rests on.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import dspy
from dspy.utils.callback import BaseCallback

from baft import UsageError

from . import search as mipro
from .journal import Stopped
from .lm import surroundings
from .plan import Plan, Way
from .program import program_sha256

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .options import Options
    from .plan import Task

MANY = 10**9
"""Errors that DSPy may count for itself: ``Journal`` ends the search before."""

REFLECTED = 3
"""Training examples that GEPA reflects on at once: DSPy's default."""

STEPS = 8
"""Steps of SIMBA: DSPy's default."""


class _Watch(BaseCallback):  # type: ignore[misc]  # dspy is not typed
    """Asks and scores here what DSPy is about to evaluate; the whole selection set is a trial."""

    def __init__(self, task: Task) -> None:
        self._trials = task.trials
        self._val = {id(one) for one in task.val}

    def on_evaluate_start(self, call_id: str, instance: Any, inputs: Mapping[str, Any]) -> None:
        try:
            devset = inputs["devset"] or instance.devset
            program = self._trials.plain(inputs["program"])
            if {id(one) for one in devset} != self._val:
                self._trials.judge(program, devset)
            elif self._trials.scored(program_sha256(program)) is None:
                self._trials(program, devset)
        except Exception as error:  # border: plugin call; DSPy would log it and go on
            raise Stopped(error) from error
        self._trials.journal.counting = False

    def on_evaluate_end(self, call_id: str, outputs: Any, exception: Any = None) -> None:
        self._trials.journal.counting = True


def _run(task: Task, optimizer: Any, **arguments: Any) -> Any:
    """Compile the student under ``_Watch``."""
    with surroundings(task.lm, callbacks=[_Watch(task)]):
        return optimizer.compile(task.student, **arguments)


def _metric(task: Task) -> Any:
    def worth(
        example: Any, prediction: Any, trace: Any = None, name: Any = None, own: Any = None
    ) -> float:
        return task.trials.worth(task.trials.score_of(example, prediction).value)

    return worth


def _shuffled(task: Task) -> list[Any]:
    """The training examples in an order of the seed's: DSPy's bootstrapping has none itself."""
    return random.Random(task.options.seed).sample(task.train, len(task.train))


def _demos(task: Task) -> dict[str, Any]:
    """How many demonstrations; labelled ones only where every example has a reference."""
    outputs = [field.name for field in task.trials.role.outputs]
    labelled = all(name in one for one in task.train for name in outputs)
    return {
        "max_bootstrapped_demos": task.options.max_bootstrapped_demos,
        "max_labeled_demos": task.options.max_labeled_demos if labelled else 0,
        "metric_threshold": task.trials.worth(task.good_enough),
        "max_errors": MANY,
    }


def _bootstrap(task: Task) -> None:
    optimizer = dspy.BootstrapFewShot(metric=_metric(task), **_demos(task))
    task.trials(_run(task, optimizer, trainset=_shuffled(task)), task.val)


def _random(task: Task) -> None:
    if not task.options.max_bootstrapped_demos:
        raise UsageError("random needs max_bootstrapped_demos of at least 1.")
    optimizer = dspy.BootstrapFewShotWithRandomSearch(
        metric=_metric(task),
        num_candidate_programs=task.options.num_candidates,
        num_threads=task.threads,
        **_demos(task),
    )
    _run(task, optimizer, trainset=_shuffled(task), valset=task.val)


def _gepa(task: Task) -> None:
    best = task.trials.metric.components

    def judge(
        example: Any, prediction: Any, trace: Any = None, name: Any = None, own: Any = None
    ) -> Any:
        score = task.trials.score_of(example, prediction)
        lost = [
            f"{part} {score.components[part]:.3g} of {most:.3g}"
            for part, most in best.items()
            if part in score.components and score.components[part] < most
        ]
        said = f"Scored {score.value:.3g} of {task.trials.metric.attainable_max:.3g}."
        feedback = f"{said} Points lost: {', '.join(lost)}." if lost else said
        return dspy.Prediction(score=task.trials.worth(score.value), feedback=feedback)

    optimizer = dspy.GEPA(
        metric=judge,
        max_metric_calls=_gepa_calls(task.options, len(task.val)),
        reflection_minibatch_size=min(REFLECTED, len(task.train)),
        reflection_lm=task.prompt_lm,
        num_threads=task.threads,
        failure_score=task.trials.worth(None) if not task.trials.metric.higher_is_better else 0.0,
        perfect_score=task.trials.worth(task.trials.metric.attainable_max),
        seed=task.options.seed,
    )
    _run(task, optimizer, trainset=task.train, valset=task.val)


def _simba(task: Task) -> None:
    optimizer = dspy.SIMBA(
        metric=_metric(task),
        bsize=min(task.options.minibatch_size, len(task.train)),
        num_candidates=task.options.num_candidates,
        max_steps=task.options.num_trials or STEPS,
        max_demos=task.options.max_bootstrapped_demos,
        prompt_model=task.prompt_lm,
        num_threads=task.threads,
    )
    found = _run(task, optimizer, trainset=task.train, seed=task.options.seed)
    for candidate in found.candidate_programs:
        if task.trials.scored(program_sha256(task.trials.plain(candidate["program"]))) is None:
            task.trials(candidate["program"], task.val)


def _plan_bootstrap(options: Options, train: int, val: int) -> Plan:
    return Plan(trials=2, calls=2 * val + (train if options.max_bootstrapped_demos else 0))


def _plan_random(options: Options, train: int, val: int) -> Plan:
    """Besides the candidates DSPy tries the references alone and an unshuffled set."""
    trials = options.num_candidates + 3
    return Plan(trials=trials, calls=trials * val + (options.num_candidates + 1) * train)


def _plan_gepa(options: Options, train: int, val: int) -> Plan:
    """A proposal follows every ``REFLECTED`` calls at most, and is asked for twice at most."""
    calls = _gepa_calls(options, val)
    proposals = calls // min(REFLECTED, train)
    return Plan(trials=_gepa_trials(options) + 1, calls=calls + 2 * proposals)


def _gepa_trials(options: Options) -> int:
    return options.num_trials or options.num_candidates


def _gepa_calls(options: Options, val: int) -> int:
    return val + _gepa_trials(options) * (val + 2 * REFLECTED)


def _plan_simba(options: Options, train: int, val: int) -> Plan:
    """A step samples, asks for rules, and scores what came of them; the best are scored again."""
    size, made = min(options.minibatch_size, train), options.num_candidates + 1
    step = size * options.num_candidates + made + made * size
    steps = options.num_trials or STEPS
    return Plan(trials=1 + made, calls=steps * step + made * train + (1 + made) * val)


WAYS = {
    "mipro": Way(dspy_class="MIPROv2", package="optuna", plan=mipro.plan, search=mipro.search),
    "bootstrap": Way(
        dspy_class="BootstrapFewShot", package=None, plan=_plan_bootstrap, search=_bootstrap
    ),
    "random": Way(
        dspy_class="BootstrapFewShotWithRandomSearch",
        package=None,
        plan=_plan_random,
        search=_random,
    ),
    "gepa": Way(dspy_class="GEPA", package="gepa", plan=_plan_gepa, search=_gepa),
    "simba": Way(dspy_class="SIMBA", package="numpy", plan=_plan_simba, search=_simba),
}
"""By the name that ``--optimizer`` takes."""
