"""The BA prompt and metric for a peer's process, whose interpreter need not have baft installed.

The folders of the packages are in PYTHONPATH; of their dependencies, pluggy and PyYAML are enough.
"""

from __future__ import annotations

import json
from pathlib import Path

from baft import Example, Generation
from baft_ba.metric import RequirementsMetric
from baft_ba.role import BusinessAnalyst

ROLE, METRIC = BusinessAnalyst(), RequirementsMetric()


def examples(path: str) -> list[Example]:
    """The examples of a dataset."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return [ROLE.example(json.loads(line)) for line in lines]


def prompt(example: Example) -> str:
    """The one user message of the role."""
    (message,) = ROLE.prompt(example).messages
    return message.content


def score(example: Example, text: str) -> float:
    """What the answer scores, read as ``baft eval`` reads it by default."""
    generation = Generation(example_id=example.id, text=text)
    return METRIC.score(example, ROLE.parse(generation, "lenient")).value
