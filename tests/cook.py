"""A role, a metric and a model small enough to follow an optimizer by hand: recipes in steps."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from baft import Decoding, Example, Field, Generation, Prediction, Prompt, Score

if TYPE_CHECKING:
    from collections.abc import Callable

MAGIC = "Count from one."


class Cook:
    """A role that reads DSPy's fields and nothing else."""

    name = "cook"
    task = "Write a recipe."
    inputs = (Field(name="dish", description="what to cook"),)
    outputs = (
        Field(name="title", description="its name"),
        Field(name="steps", description="YAML list of steps", kind="list"),
    )

    def parse(self, generation: Generation, extraction: str) -> Prediction:
        return Prediction(fields=dict(generation.fields or {}), validity="as_is")


class Steps:
    """The number of steps, out of sixteen."""

    name, version, higher_is_better, attainable_max = "steps", 1, True, 1.0
    components = {"steps": 1.0}  # noqa: RUF012 - as plugins write it

    def score(self, example: Example, prediction: Prediction) -> Score:
        return Score(value=prediction.fields.get("steps", "").count("-") / 16)


ECHO: Any = SimpleNamespace(
    name="echo",
    task="Say it again.",
    inputs=(Field(name="word", description="a word"),),
    outputs=(Field(name="title", description="it"), Field(name="tail", description="its end")),
)
"""What a program needs of a role to be built; it reads no answers."""

ROLE: Any = Cook()
METRIC: Any = Steps()


def examples(count: int, start: int = 0) -> list[Example]:
    return [
        Example(
            id=f"x{i}",
            inputs={"dish": f"dish {i}"},
            reference={"title": f"Dish {i}", "steps": [{"id": n} for n in range(9)]},
        )
        for i in range(start, start + count)
    ]


def steps(prompt: Prompt) -> int:
    """Three steps, eight where the instructions say the word, one more for each demonstration."""
    told = MAGIC in prompt.messages[0].content
    return (8 if told else 3) + (len(prompt.messages) - 2) // 2


def answer(prompt: Prompt) -> str:
    if "proposed_instruction" in prompt.messages[0].content:
        return "no field at all"
    marks = "- \n" * steps(prompt)
    return f"[[ ## title ## ]]\nX\n\n[[ ## steps ## ]]\n{marks}\n\n[[ ## completed ## ]]"


class Model:
    """A backend that answers with a function of the prompt."""

    spec = "fake:model"
    max_concurrency = None

    def __init__(
        self, answer: Callable[[Prompt], str] = answer, batch_size: int = 1, delay_s: float = 0.0
    ) -> None:
        self.answer, self.batch_size, self.delay_s = answer, batch_size, delay_s
        self.prompts: list[Prompt] = []
        self.sizes: list[int] = []
        self.decodings: set[Decoding] = set()
        self.closed = 0

    def fingerprint(self) -> str:
        return "f"

    def describe(self) -> dict[str, Any]:
        return {"provider": "fake"}

    async def generate(self, prompts: Any, decoding: Decoding) -> list[Generation]:
        self.prompts += prompts
        self.sizes.append(len(prompts))
        self.decodings.add(decoding)
        await asyncio.sleep(self.delay_s)
        return [
            Generation(
                example_id=p.example_id, text=self.answer(p), prompt_tokens=2, completion_tokens=1
            )
            for p in prompts
        ]

    async def close(self) -> None:
        self.closed += 1
