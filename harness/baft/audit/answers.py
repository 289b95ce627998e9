"""What an arm answered, held against its own examples, its other answers and its training data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..records import AuditFinding, Evidence
from .text import Shingles, near, shingles, tf_idf, without_quotes, words_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ..records import Example, Prediction

SAMPLE = 500
"""At most so many answers are audited, evenly spaced: shares are then known to ±0.045."""

PERMUTATIONS = 999
RELEVANCE_P = 0.05
FIT = 0.85
"""Least mean rank of the own example among all; answers to other examples have 0.5, so an arm of
which a third of the answers belong to no example falls below it."""
SAME_ANSWER = 0.5
"""Jaccard similarity of word triples from which two answers are one template; benchmarks/README.md
has what that misses and whom it wrongs."""
MOST = 0.25
"""Share of copied answers above which the audit fails."""
SHOWN = 3
"""Examples that a finding names."""
EVIDENCE = 400
"""Characters of one text that a finding quotes."""


@dataclass(frozen=True, kw_only=True)  # no slots: it remembers its words
class Answer:
    """One example with what an arm answered."""

    example: Example
    prediction: Prediction
    score: float

    @cached_property
    def words(self) -> list[str]:
        """Of what was answered."""
        return words_of(self.prediction.fields)

    @cached_property
    def asked(self) -> list[str]:
        """The words of the inputs."""
        return words_of(self.example.inputs)

    @cached_property
    def own(self) -> Shingles:
        """The answer's word triples without those quoted from the inputs; all if none is left."""
        return without_quotes(self.words, self.asked) or shingles(self.words)


def relevance(sample: Sequence[Answer], seed: int) -> list[AuditFinding]:
    """Do answers fit their own example better than another's? By a test, and one by one.

    ``relevance``: one-sided permutation test of the mean TF-IDF cosine between an example's inputs
    and the answer it got; permutations deal the answers anew. ``fit``: the mean share of other
    examples that an answer fits less than its own, which a mixture of honest and other answers
    cannot hide. Answers without a word are left out: they are no gain, and the metric's to judge.
    """
    import numpy as np

    told = [answer for answer in sample if answer.words]
    n = len(told)
    required = f"p < {RELEVANCE_P} that answers fit their own example better than another's"
    if n < 4:
        return [
            AuditFinding(
                name="relevance",
                passed=False,
                observed=None,
                required=required,
                why=f"{n} answers with words are too few to test whether they fit their examples.",
            )
        ]
    inputs, outputs = [answer.asked for answer in told], [answer.words for answer in told]
    similarity = tf_idf(inputs) @ tf_idf(outputs, like=inputs).T  # (n, n): input i, answer j
    rng = np.random.default_rng(seed)
    diagonal, rows = similarity.diagonal(), np.arange(n)
    own = float(diagonal.mean())
    dealt = np.array([similarity[rows, rng.permutation(n)].mean() for _ in range(PERMUTATIONS)])
    p = (int((dealt >= own - 1e-7).sum()) + 1) / (PERMUTATIONS + 1)  # Phipson & Smyth 2010
    fits = own_ranks(similarity, rows)
    fit = float(fits.mean())
    worst = [told[i] for i in np.argsort(fits, kind="stable")[:SHOWN]]
    tested = (
        f"Mean similarity to the own example is {own:.3f}, with shuffled answers "
        f"{float(dealt.mean()):.3f} (p = {p:.3f}, n = {n})"
    )
    return [
        _finding(
            "relevance",
            p < RELEVANCE_P,
            p,
            required,
            f"{tested}{'.' if p < RELEVANCE_P else ': the answers do not depend on the example.'}",
            [_as_evidence(answer) for answer in worst],
        ),
        _finding(
            "fit",
            fit >= FIT,
            fit,
            f"at least {FIT:g} (0.5 if answers were dealt at random)",
            f"An answer fits its own example better than {fit:.1%} of the others, on average.",
            [_as_evidence(answer) for answer in worst],
        ),
    ]


def own_ranks(similarity: Any, own: Any) -> Any:
    """Of each answer the share of the other examples that it fits less than its own.

    Args:
        similarity: of inputs and answers, shape (n_examples, n_answers), at least two examples.
        own: the example of each answer, shape (n_answers,).

    Returns:
        Shape (n_answers,); an example that it fits equally well counts half.
    """
    import numpy as np

    mine = similarity[own, np.arange(similarity.shape[1])]
    less = (similarity < mine - 1e-7).sum(axis=0)
    equal = (np.abs(similarity - mine) <= 1e-7).sum(axis=0) - 1
    return (less + equal / 2) / (len(similarity) - 1)


def near_copies(sample: Sequence[Answer]) -> AuditFinding:
    """The share of answers that nearly repeat another one, words taken from the inputs left out."""
    told = [answer for answer in sample if answer.words]
    partner: dict[int, int] = {}
    for i, j, _ in near([answer.own for answer in told], at_least=SAME_ANSWER):
        partner.setdefault(i, j)
        partner.setdefault(j, i)
    evidence = [
        _as_evidence(told[i], told[j].example.id, _quote(told[j].prediction.fields))
        for i, j in sorted(partner.items())[:SHOWN]
    ]
    return _copies("near_copies", "another of its answers", len(sample), len(partner), evidence)


def training_copies(
    sample: Sequence[Answer], training: Sequence[Mapping[str, Any]]
) -> AuditFinding:
    """The share of answers that nearly repeat a training answer."""
    told = [answer for answer in sample if answer.words]
    sets = [answer.own for answer in told]
    known = [shingles(words_of(reference)) for reference in training]
    partner: dict[int, int] = {}
    for i, j, _ in near(sets, known, at_least=SAME_ANSWER):
        if sets[i]:
            partner.setdefault(i, j)
    evidence = [
        _as_evidence(told[i], f"training answer {j + 1}", _quote(training[j]))
        for i, j in sorted(partner.items())[:SHOWN]
    ]
    return _copies("training_copies", "a training answer", len(sample), len(partner), evidence)


def floor(answers: Sequence[Answer], attainable_max: float, empty: float | None) -> AuditFinding:
    """Do the scores say anything: are they all one value, or what an empty answer gets?

    All at the attainable maximum is a good arm, unless an empty answer gets as much.
    """
    scores = [answer.score for answer in answers]
    low, high = min(scores, default=0.0), max(scores, default=0.0)
    one_value = len(scores) > 1 and high - low <= 1e-12
    is_empty = empty is not None and bool(scores) and high <= empty + 1e-12
    is_most = one_value and high >= attainable_max - 1e-9
    passed = not is_empty and (not one_value or is_most)
    if is_empty:
        why = f"No answer scores more than an empty one, which gets {empty:.4f}."
    elif one_value:
        why = f"All {len(scores)} scores are {high:.4f}" + (
            ", the attainable maximum: the metric cannot tell these answers apart."
            if is_most
            else ": the metric does not tell these answers apart."
        )
    else:
        why = f"Scores range from {low:.4f} to {high:.4f}" + (
            f"; an empty answer gets {empty:.4f}." if empty is not None else "."
        )
    return _finding(
        "floor",
        passed,
        high - low,
        "scores that differ and lie above an empty answer's, or all at the attainable maximum",
        why,
        [_as_evidence(answer) for answer in answers[:SHOWN]],
    )


def _copies(name: str, of: str, n: int, copied: int, evidence: Sequence[Evidence]) -> AuditFinding:
    share = copied / n if n else 0.0
    return _finding(
        name,
        share <= MOST,
        share,
        f"at most {MOST:.0%} of the answers",
        f"{copied} of {n} answers are near-copies of {of}.",
        evidence,
        show=copied > 0,
    )


def _finding(
    name: str,
    passed: bool,
    observed: float,
    required: str,
    why: str,
    evidence: Iterable[Evidence],
    *,
    show: bool = False,
) -> AuditFinding:
    """A finding; evidence is kept where it failed, or where it is asked to ``show``."""
    kept = tuple(evidence) if show or not passed else ()
    return AuditFinding(
        name=name,
        passed=passed,
        observed=observed,
        required=required,
        why=why,
        examples=tuple(one.example for one in kept),
        evidence=kept,
    )


def _as_evidence(answer: Answer, other: str = "", other_text: str = "") -> Evidence:
    return Evidence(
        example=answer.example.id,
        text=_quote(answer.prediction.fields),
        other=other or "its inputs",
        other_text=other_text or _quote(answer.example.inputs),
    )


def _quote(value: Any) -> str:
    """The beginning of all text in a value, as far as a reader needs it."""
    texts: list[str] = []

    def collect(inner: Any) -> None:
        if isinstance(inner, str):
            texts.append(inner)
        elif isinstance(inner, dict):
            for one in inner.values():
                collect(one)
        elif isinstance(inner, (list, tuple)):
            for one in inner:
                collect(one)

    collect(value)
    text = " · ".join(texts)
    return text if len(text) <= EVIDENCE else f"{text[: EVIDENCE - 1]}…"
