"""Null arms: answers made without a model and without looking at the example.

What they score is what the metric gives for nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..parsing.documents import as_yaml
from ..parsing.pieces import load_yaml
from ..records import NullArm, Prediction

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..protocols import Metric
    from ..records import Example
    from . import Answer

FILLER = "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor "


def null_arms(
    sample: Sequence[Answer], metric: Metric, training: Sequence[Mapping[str, Any]]
) -> tuple[NullArm, ...]:
    """What answers score that know nothing of their examples; those that can be made."""
    examples = [answer.example for answer in sample]
    given: list[tuple[str, str, list[Prediction]]] = [
        ("empty", "no answer at all", [_prediction({})] * len(sample))
    ]
    references = [e.reference for e in examples if e.reference]
    if references or training:
        form = template(references or training)
        what = "one template of filler words in the form of the references, for every example"
        given.append(("constant", what, [_prediction(form)] * len(sample)))
    copied = training[0] if training else references[0] if references else None
    if copied is not None:
        of = "training answer" if training else "reference"
        given.append(("copy", f"one {of}, for every example", [_prediction(copied)] * len(sample)))
    if len(sample) > 1:
        dealt = [*sample[1:], sample[0]]
        what = "the arm's own answers, each dealt to the next example"
        given.append(("shuffled", what, [answer.prediction for answer in dealt]))
    return tuple(_null_arm(name, what, examples, own, metric) for name, what, own in given)


def template(references: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The first reference with its words taken out: what recurs elsewhere is form and stays.

    Texts that stand in another reference too (ids, priorities) are kept; every other text becomes
    filler of the same length. A text that is a YAML document is looked into.

    >>> template([{"id": "A1", "title": "Wine cellar"}, {"id": "A1", "title": "Book club"}])
    {'id': 'A1', 'title': 'lorem ipsum'}
    """
    others = Counter(text for one in references[:100] for text in set(_texts(one)))

    def blank(value: Any) -> Any:
        document = _document(value)
        if document is not None:
            return as_yaml(blank(document))
        if isinstance(value, str):
            return value if others[value] > 1 else (FILLER * (len(value) // 70 + 1))[: len(value)]
        if isinstance(value, Mapping):
            return {key: blank(inner) for key, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [blank(inner) for inner in value]
        return value

    form: Mapping[str, Any] = blank(references[0])
    return form


def _texts(value: Any) -> Iterator[str]:
    document = _document(value)
    if document is not None:
        yield from _texts(document)
    elif isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _texts(inner)


def _document(value: Any) -> Any:
    """The mapping or list that a text of several lines holds; None for any other value."""
    data = load_yaml(value) if isinstance(value, str) and "\n" in value.strip() else None
    return data if isinstance(data, (dict, list)) else None


def _prediction(fields: Mapping[str, Any]) -> Prediction:
    return Prediction(fields=fields, validity="as_is" if fields else "none")


def _null_arm(
    name: str,
    what: str,
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    metric: Metric,
) -> NullArm:
    scores = []
    for example, prediction in zip(examples, predictions, strict=True):
        try:
            scores.append(metric.score(example, prediction).value)
        except Exception:  # border: one example; a null answer the metric cannot take has no score
            continue
    mean = sum(scores) / len(scores) if scores else None
    return NullArm(name=name, what=what, mean=mean, n=len(scores))
