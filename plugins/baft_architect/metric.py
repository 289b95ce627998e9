"""The pipeline's four metrics for an architect's answer, score-identical to its own.

Upstream: krukmat/agnostic-ai-pipeline, ``dspy_baseline/metrics/architect_metrics.py``, commit
747401e, rewritten from its description. Parts and their points::

    stories_completeness  25  fields filled, ids in sequence, epics that are known
    stories_quality       25  acceptance, title, description, priority, estimate of each story
    epics_structure       20  every epic is named and holds stories that are there
    architecture          20  backend and frontend, each with a framework
    dependencies          10  depends_on names other stories, without a cycle

``architect_v1`` takes the parts as they hold or not, ``architect_v2`` by degrees; both over 100.
``stories_epics`` is v1 without the architecture, over 80; ``architecture_only`` that part, over 20.
Neither the reference is scored nor what the words mean.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from baft import Score

from . import graded, strict
from .plan import Plan, architecture, read_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from baft import Example, Prediction

Part = tuple[float, "Callable[[Plan], float]"]

STRICT: dict[str, Part] = {
    "stories_completeness": (25.0, strict.completeness),
    "stories_quality": (25.0, strict.quality),
    "epics_structure": (20.0, strict.epics),
    "architecture": (20.0, architecture),
    "dependencies": (10.0, strict.dependencies),
}
GRADED: dict[str, Part] = {
    "stories_completeness": (25.0, graded.completeness),
    "stories_quality": (25.0, graded.quality),
    "epics_structure": (20.0, graded.epics),
    "architecture": (20.0, architecture),
    "dependencies": (10.0, graded.dependencies),
}


@dataclass(frozen=True, kw_only=True)
class ArchitectMetric:
    """Some parts of the plan, over the points that they can give."""

    name: str
    parts: Mapping[str, Part]
    floor: float
    """Without stories nothing can depend wrongly, which earns the points of dependencies."""
    ceilings: Mapping[str, float] = field(default_factory=dict)
    version: int = 1
    higher_is_better: bool = True
    attainable_max: float = 1.0

    @property
    def components(self) -> Mapping[str, float]:
        """Most points by part."""
        return {name: most for name, (most, _) in self.parts.items()}

    def score(self, example: Example, prediction: Prediction) -> Score:
        """Score the documents that the parts look at.

        >>> from baft import Example, Prediction
        >>> example = Example(id="1", inputs={"concept": "A bakery shop"})
        >>> nothing = Prediction(fields={}, validity="none")
        >>> [metric.score(example, nothing).value for metric in METRICS.values()]
        [0.1, 0.1, 0.125, 0.0]

        Raises:
            DataError: the pipeline's function fails as well: an entry of the stories or epics is
                no mapping, an impossible date; or a limit of ``safe_yaml``.
        """
        plan = read_plan(prediction.fields, self.parts)
        points = {name: measure(plan) for name, (_, measure) in self.parts.items()}
        total = 0.0
        for part in points.values():  # in the pipeline's order, so that every bit is the same
            total += part
        most = sum(self.components.values())
        return Score(value=max(0.0, min(total / most, 1.0)), components=points)


METRICS = {
    metric.name: metric
    for metric in (
        ArchitectMetric(
            name="architect_v1", parts=STRICT, floor=0.1, ceilings={"without stories": 0.3}
        ),
        ArchitectMetric(
            name="architect_v2", parts=GRADED, floor=0.1, ceilings={"without stories": 0.3}
        ),
        ArchitectMetric(
            name="stories_epics",
            parts={name: part for name, part in STRICT.items() if name != "architecture"},
            floor=0.125,
        ),
        ArchitectMetric(
            name="architecture_only", parts={"architecture": STRICT["architecture"]}, floor=0.0
        ),
    )
}
