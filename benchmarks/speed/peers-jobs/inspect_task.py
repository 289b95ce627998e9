"""The job as an Inspect task, for ``inspect eval inspect_task.py -T data=FILE``."""

from __future__ import annotations

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.scorer import Score, Scorer, Target, mean, scorer
from inspect_ai.solver import TaskState
from scoring import examples, prompt, score

from baft import Example


@task
def ba(data: str) -> Task:
    """The default solver, ``generate()``, and the BA metric as scorer."""
    found = {example.id: example for example in examples(data)}
    samples = [Sample(id=example.id, input=prompt(example)) for example in found.values()]
    return Task(dataset=MemoryDataset(samples), scorer=requirements(found))


@scorer(metrics=[mean()])
def requirements(found: dict[str, Example]) -> Scorer:
    """The score of baft's metric."""

    async def scored(state: TaskState, target: Target) -> Score:
        example = found[str(state.sample_id)]
        return Score(value=score(example, state.output.completion))

    return scored
