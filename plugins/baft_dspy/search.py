"""``mipro``: MIPROv2, three steps of it replaced through the methods that DSPy gives each step.

- *Demonstrations* are made from answers to all examples asked at once, not one after another, and
  only from answers good enough.
- *Instructions* also come from a list; what the prompt model writes and DSPy cannot read is left
  out rather than ending the search.
- *Scoring* is ``Trials``: unrounded, with failures apart, and nothing is asked twice.

The search itself, Optuna's TPE over instructions and demonstrations, is DSPy's own.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import dspy
from dspy.propose import GroundedProposer
from dspy.teleprompt.mipro_optimizer_v2 import AUTO_RUN_SETTINGS, MIN_MINIBATCH_SIZE

from .plan import Plan
from .program import as_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from baft import Field

    from .options import Options
    from .plan import Task
    from .trials import Judged, Trials

FULL_EVERY = 5
"""Minibatch trials between two full ones: DSPy's default, named because the total needs it."""


class Search(dspy.MIPROv2):  # type: ignore[misc]  # dspy is not typed
    """One search; everything that DSPy does not decide is given here."""

    def __init__(
        self,
        trials: Trials,
        *,
        instructions: Sequence[str],
        propose: bool,
        good_enough: float,
        attempts: int,
        **options: Any,
    ) -> None:
        super().__init__(metric=lambda *_: 0.0, track_stats=False, **options)
        self.trials = trials
        self.instructions = instructions
        self.propose = propose
        self.good_enough = good_enough
        self.attempts = attempts
        self.candidates: list[str] = []
        """The instructions that were searched, the baseline's first."""
        self.demo_sets: list[list[Any]] = []
        self.dropped = 0
        """Proposals that could not be read."""

    def _bootstrap_fewshot_examples(
        self,
        program: Any,
        trainset: list[Any],
        seed: int,
        teacher: Any,
        *,
        num_fewshot_candidates: int,
        max_bootstrapped_demos: int,
        max_labeled_demos: int,
        **_: Any,
    ) -> dict[int, list[list[Any]]] | None:
        """As many sets as asked: none, labelled ones only, then mixtures of random size."""
        outputs = [field.name for field in self.trials.role.outputs]
        labelled = [one for one in trainset if all(name in one for name in outputs)]
        shown: list[Any] = []
        if max_bootstrapped_demos:
            asked = self.rng.sample(trainset, min(self.attempts, len(trainset)))
            judged = self.trials.judge(program, asked)
            good = self.trials.worth(self.good_enough)
            shown = [
                _demo(self.trials.role.inputs, self.trials.role.outputs, one)
                for one in judged
                if self.trials.worth(one.value) >= good
                and all(name in one.prediction.fields for name in outputs)
            ]
        sets: list[list[Any]] = [[]]
        for number in range(1, num_fewshot_candidates):
            size = min(len(shown), self.rng.randint(1, max_bootstrapped_demos)) if shown else 0
            own = self.rng.sample(shown, size) if number > 1 or not max_labeled_demos else []
            inputs = [_inputs(self.trials.role.inputs, demo) for demo in own]
            others = [
                one for one in labelled if _inputs(self.trials.role.inputs, one) not in inputs
            ]
            room = min(len(others), max(0, max_labeled_demos - len(own)))
            demos = own + self.rng.sample(others, room)
            if demos and demos not in sets:
                sets.append(demos)
        self.demo_sets = sets
        return {0: sets} if len(sets) > 1 else None

    def _propose_instructions(
        self,
        program: Any,
        trainset: list[Any],
        demo_candidates: Any,
        view_data_batch_size: int,
        program_aware_proposer: bool,
        data_aware_proposer: bool,
        tip_aware_proposer: bool,
        fewshot_aware_proposer: bool,
        num_instruct_candidates: int,
    ) -> dict[int, list[str]]:
        """The program's own instructions, the given ones, and proposals for what is left."""
        found = [program.generate.signature.instructions, *self.instructions]
        wanted = num_instruct_candidates - len(found)
        if self.propose and wanted > 0:
            proposer = _Proposer(
                prompt_model=self.prompt_model,
                program=program,
                trainset=trainset,
                view_data_batch_size=view_data_batch_size,
                program_aware=program_aware_proposer,
                use_dataset_summary=data_aware_proposer,
                use_task_demos=fewshot_aware_proposer,
                use_tip=tip_aware_proposer,
                set_tip_randomly=tip_aware_proposer,
                use_instruct_history=False,
                set_history_randomly=False,
                rng=self.rng,
                init_temperature=self.init_temperature,
            )
            # the proposer rotates through the demo sets and takes no more proposals than those
            sets = demo_candidates[0] if demo_candidates else [[]]
            rotated = {0: [sets[number % len(sets)] for number in range(wanted)]}
            proposed = proposer.propose_instructions_for_program(
                trainset=trainset,
                program=program,
                demo_candidates=rotated,
                trial_logs={},
                N=wanted,
            )
            found += [text for text in proposed[0] if text]
            self.dropped = proposer.dropped
        self.candidates = list(dict.fromkeys(found))
        return {0: list(self.candidates)}

    def _optimize_prompt_parameters(
        self, program: Any, instructions: Any, demos: Any, evaluate: Any, *rest: Any
    ) -> Any:
        """DSPy's search with ``Trials`` in place of its ``Evaluate``."""
        baseline = [dspy.Prediction(score=self.trials.worth(self.trials.done[0].score), results=[])]

        def score(program: Any, devset: Sequence[Any], **_: Any) -> Any:
            """The baseline's score, which is there already, then those of trials."""
            return baseline.pop() if baseline else self.trials(program, devset)

        return super()._optimize_prompt_parameters(program, instructions, demos, score, *rest)

    def _perform_full_evaluation(self, *arguments: Any) -> Any:
        """Skip a full trial where none is left to do; DSPy raises an error there."""
        scores, full = arguments[2:4]
        if set(scores) <= set(full):
            best_score, best_program, asked = arguments[9], arguments[10], arguments[7]
            return best_score, best_program, asked
        return super()._perform_full_evaluation(*arguments)


class _Proposer(GroundedProposer):  # type: ignore[misc]  # dspy is not typed
    dropped = 0

    def propose_instruction_for_predictor(self, *arguments: Any, **options: Any) -> str:
        try:
            return str(super().propose_instruction_for_predictor(*arguments, **options)).strip()
        except Exception:  # border: plugin call (DSPy's proposer); counted, and told
            self.dropped += 1
            return ""


def plan(options: Options, train: int, val: int) -> Plan:
    """Trials and calls of a search, at most: ``train`` and ``val`` examples, without the given.

    DSPy proposes with three calls each, after it has described the data with at most twelve.
    """
    trials, minibatch = _settings(options, val)
    demos = min(_attempts(options), train) if options.max_bootstrapped_demos else 0
    proposals = options.num_candidates if options.propose else 0
    total = total_trials(trials, minibatch)
    full = total - 1 - trials if minibatch else trials
    parts = trials * options.minibatch_size if minibatch else 0
    described = 12 if proposals else 0
    return Plan(trials=total, calls=val + demos + described + 3 * proposals + full * val + parts)


def _settings(options: Options, val: int) -> tuple[int, bool]:
    """The number of trials, by DSPy's own rule unless it is given, and whether of minibatches."""
    candidates = options.num_candidates
    minibatch = options.minibatch and val > options.minibatch_size
    if options.auto:
        candidates = AUTO_RUN_SETTINGS[options.auto]["n"]
        minibatch = val > MIN_MINIBATCH_SIZE
    elif options.num_trials is not None:
        return options.num_trials, minibatch
    demos = options.max_bootstrapped_demos or options.max_labeled_demos
    candidates = max(candidates, len(options.instructions) + 1)
    variables = 2 if demos else 1
    return int(max(2 * variables * math.log2(max(2, candidates)), 1.5 * candidates)), minibatch


def _attempts(options: Options) -> int:
    return max(16, 8 * options.max_bootstrapped_demos)


def search(task: Task) -> None:
    """Search with MIPROv2."""
    options, trials = task.options, task.trials
    num_trials, minibatch = _settings(options, len(task.val))
    found = Search(
        trials,
        instructions=task.instructions,
        propose=options.propose,
        good_enough=task.good_enough,
        attempts=_attempts(options),
        prompt_model=task.prompt_lm,
        task_model=task.lm,
        auto=options.auto,
        num_candidates=None if options.auto else options.num_candidates,
        max_bootstrapped_demos=options.max_bootstrapped_demos,
        max_labeled_demos=options.max_labeled_demos,
        max_errors=options.max_errors,
        seed=options.seed,
    )
    task.facts = {"minibatch": minibatch, "instructions": [], "demo_sets": []}
    try:
        found.compile(
            task.baseline,
            trainset=task.train,
            valset=task.val,
            num_trials=None if options.auto else num_trials,
            seed=options.seed,
            minibatch=minibatch,
            minibatch_size=options.minibatch_size,
        )
    finally:  # what was found stands where the search is stopped, too
        task.facts |= {
            "instructions": found.candidates,
            "demo_sets": [len(demos) for demos in found.demo_sets],
            "proposals_dropped": found.dropped,
        }


def total_trials(num_trials: int, minibatch: bool) -> int:
    """Trials of a search, the baseline and the full ones between minibatches included.

    >>> total_trials(10, False), total_trials(10, True)
    (11, 13)
    """
    if not minibatch:
        return num_trials + 1
    last = num_trials + num_trials // FULL_EVERY + bool(num_trials % FULL_EVERY)
    number = 1
    for _ in range(num_trials):
        number += 1
        number += number % (FULL_EVERY + 1) == 0 or number == last
    return number


def _demo(inputs: Sequence[Field], outputs: Sequence[Field], judged: Judged) -> Any:
    given, answered = judged.example.inputs, judged.prediction.fields
    texts = {field.name: as_text(given.get(field.name, "")) for field in inputs}
    texts |= {field.name: as_text(answered[field.name]) for field in outputs}
    return dspy.Example(augmented=True, **texts)


def _inputs(inputs: Sequence[Field], demo: Mapping[str, Any]) -> list[Any]:
    return [demo.get(field.name) for field in inputs]
