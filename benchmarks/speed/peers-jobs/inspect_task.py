"""The job as an Inspect task, for ``inspect eval inspect_task.py -T data=FILE``."""

from __future__ import annotations

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.scorer import Score, Scorer, Target, mean, scorer
from inspect_ai.solver import TaskState
from scoring import ROLE, examples, prompt, score


@task
def ba(data: str) -> Task:
    """The default solver, ``generate()``, and the BA metric as scorer."""
    samples = [
        Sample(id=example.id, input=prompt(example), metadata=dict(example.inputs))
        for example in examples(data)
    ]
    return Task(dataset=MemoryDataset(samples), scorer=requirements())


@scorer(metrics=[mean()])
def requirements() -> Scorer:
    """The score of baft's metric; arguments of a scorer would be kept with every sample."""

    async def scored(state: TaskState, target: Target) -> Score:
        example = ROLE.example({"id": str(state.sample_id), **state.metadata})
        return Score(value=score(example, state.output.completion))

    return scored
