"""Does the metric measure anything here? What answers score that know nothing of their example.

A metric that looks at structure alone gives a template the best mark. So answers made without a
model go through the same metric, a candidate's answers must fit their own example better than the
others', and what it was made from may not hold the examples it is judged on. Pure: values in, an
``Audit`` out, seeded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import Audit
from .answers import (
    SAME_ANSWER,
    SAMPLE,
    Answer,
    floor,
    near_copies,
    own_ranks,
    relevance,
    training_copies,
)
from .leaks import leaks, selected_on
from .nulls import null_arms
from .text import NEAR_COPY, near, near_pairs, shingles, tf_idf, without_quotes, words_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..protocols import Metric
    from ..records import Example
    from ..store.lineage import Source

__all__ = [
    "NEAR_COPY",
    "SAME_ANSWER",
    "SAMPLE",
    "Answer",
    "audit_arm",
    "near",
    "near_pairs",
    "own_ranks",
    "selected_on",
    "shingles",
    "tf_idf",
    "without_quotes",
    "words_of",
]


def audit_arm(
    answers: Sequence[Answer],
    metric: Metric,
    sources: Sequence[Source] = (),
    *,
    examples: Sequence[Example] = (),
    of: int | None = None,
    seed: int = 0,
) -> Audit:
    """Audit one arm.

    Args:
        answers: what it answered, one for each example that has a score, or ``SAMPLE`` of them,
            evenly spaced; of more so many are taken.
        metric: the metric of the run.
        sources: the data the arm was made from, as far as it is known.
        examples: all examples of the run, for the overlap with the sources.
        of: answers there are, where ``answers`` is a sample of them.
        seed: of the permutations.
    """
    step = max(1, -(-len(answers) // SAMPLE))
    sample = list(answers)[::step]
    training = [
        example.reference
        for source in sources
        if source.use == "trained"
        for example in source.examples or ()
        if example.reference is not None
    ]
    nulls = null_arms(sample, metric, training)
    empty = next(null.mean for null in nulls if null.name == "empty")
    return Audit(
        attainable_max=metric.attainable_max,
        nulls=nulls,
        findings=(
            *relevance(sample, seed),
            near_copies(sample),
            *([training_copies(sample, training)] if training else []),
            floor(answers, metric.attainable_max, empty),
            *leaks(examples, answers, sources),
        ),
        sampled=len(sample) if len(sample) < (of or len(answers)) else None,
    )
