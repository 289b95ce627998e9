"""The role ``greeter``: greet somebody by name; and the metric for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import baft


class Greeter:
    """From ``{"name"}`` to ``{"greeting"}``."""

    name = "greeter"
    task = "Greet the person by name."
    inputs = (baft.Field(name="name", description="who is greeted"),)
    outputs = (baft.Field(name="greeting", description="one line"),)
    metric = "greeting"
    answer_label = "text GREETING"

    def example(self, row: Mapping[str, Any]) -> baft.Example:
        name = row.get("name")
        if not isinstance(name, str) or not name.strip():
            raise ValueError("name is missing or no text")
        greeting = row.get("greeting")
        return baft.Example(
            id=str(row.get("id") or baft.example_id({"name": name})),
            inputs={"name": name},
            reference={"greeting": greeting} if isinstance(greeting, str) else None,
        )

    def prompt(self, example: baft.Example) -> baft.Prompt:
        message = baft.Message(role="user", content=f"{self.task}\n\n{example.inputs['name']}")
        return baft.Prompt(example_id=example.id, inputs=example.inputs, messages=(message,))

    def target(self, example: baft.Example) -> str:
        if example.reference is None:
            raise ValueError("no greeting")
        return str(example.reference["greeting"])

    def parse(self, generation: baft.Generation, extraction: baft.Extraction) -> baft.Prediction:
        text = generation.text.strip()
        if not text or "\n" in text:
            return baft.Prediction(fields={}, validity="none")
        return baft.Prediction(fields={"greeting": text}, validity="as_is")


class Greeting:
    """Half for a greeting, half for the name."""

    name = "greeting"
    version = 1
    higher_is_better = True
    attainable_max = 1.0
    components: Mapping[str, float] = {"greets": 0.5, "name": 0.5}

    def score(self, example: baft.Example, prediction: baft.Prediction) -> baft.Score:
        text = str(prediction.fields.get("greeting", ""))
        parts = {
            "greets": 0.5 if text.startswith(("Hello", "Good")) else 0.0,
            "name": 0.5 if example.inputs["name"] in text else 0.0,
        }
        return baft.Score(value=sum(parts.values()), components=parts)
