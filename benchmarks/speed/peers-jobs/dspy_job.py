"""The job by ``dspy.Evaluate``: dspy_job.py URL DATA CONCURRENCY; prints the mean and the number.

The module hands the BA prompt to its ``dspy.LM``, with no signature or adapter between them, since
those would write another prompt; they would cost DSPy more, not less.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import dspy
from scoring import examples, prompt, score

from baft import Example


class Analyst(dspy.Module):
    """One call of the model."""

    def __init__(self, lm: dspy.LM) -> None:
        super().__init__()
        self.model = lm

    def forward(self, asked: str) -> dspy.Prediction:
        """Ask."""
        return dspy.Prediction(text=self.model(messages=[{"role": "user", "content": asked}])[0])


def main(url: str, data: str, concurrency: str) -> None:
    """Evaluate with every cache off."""
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)
    lm = dspy.LM(
        "openai/tiny", api_base=url + "/v1", api_key="none", cache=False,
        temperature=0.7, max_tokens=2048, seed=42,
    )  # fmt: skip
    dspy.configure(lm=lm)
    found: dict[str, Example] = {example.id: example for example in examples(data)}
    devset = [
        dspy.Example(id=example.id, asked=prompt(example)).with_inputs("asked")
        for example in found.values()
    ]

    def metric(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> float:
        return score(found[example.id], prediction.text)

    evaluate = dspy.Evaluate(devset=devset, metric=metric, num_threads=int(concurrency))
    scores = [value for _, _, value in evaluate(Analyst(lm)).results]
    print(json.dumps({"mean": sum(scores) / len(scores), "n": len(scores)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
