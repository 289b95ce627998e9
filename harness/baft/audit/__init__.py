"""Does the metric measure anything here? What constant, shuffled and copied answers score.

A metric that looks at structure alone gives a template the best mark. So answers that know nothing
of the example go through the same metric, and a candidate's answers must fit their own example
better than the others'. Pure: values in, an ``Audit`` out, seeded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .records import Audit, AuditFinding, Prediction

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from .protocols import Metric
    from .records import Example

SAMPLE = 500
"""At most so many answers are audited, evenly spaced: shares are then known to ±0.045."""

PERMUTATIONS = 999
RELEVANCE_P = 0.05
NEAR_COPY = 0.8
"""Jaccard similarity of word triples from which two answers count as copies."""
BLOCK = 512
"""Documents compared with all others at once, so that memory grows with their number only."""
MOST = 0.5
"""Share of copied answers above which the audit fails."""

_WORD = re.compile(r"\w{3,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One example with what an arm answered."""

    example: Example
    prediction: Prediction
    score: float


def words_of(value: Any) -> list[str]:
    """Lower-case words of three characters or more in any nested value, keys left out.

    >>> words_of({"title": "A wine app", "items": [{"id": "FR001"}]})
    ['wine', 'app', 'fr001']
    """
    if isinstance(value, str):
        return _WORD.findall(value.lower())
    if isinstance(value, Mapping):
        return [word for inner in value.values() for word in words_of(inner)]
    if isinstance(value, (list, tuple)):
        return [word for inner in value for word in words_of(inner)]
    return words_of(str(value)) if value is not None else []


def audit_arm(
    answers: Sequence[Answer],
    metric: Metric,
    training: Sequence[Mapping[str, Any]] = (),
    *,
    seed: int = 0,
) -> Audit:
    """Audit one arm.

    Args:
        answers: what it answered, one for each example that has a score.
        metric: the metric of the run.
        training: reference answers it may have been trained on; empty where unknown.
        seed: of the permutations.
    """
    step = max(1, -(-len(answers) // SAMPLE))
    sample = list(answers)[::step]
    tokens = [words_of(answer.prediction.fields) for answer in sample]
    return Audit(
        attainable_max=metric.attainable_max,
        constant_mean=_constant_mean(sample, metric),
        shuffled_mean=_shuffled_mean(sample, metric),
        findings=(
            _relevance(sample, tokens, seed),
            _near_copies(sample, tokens),
            *([_training_copies(sample, tokens, training)] if training else []),
        ),
    )


def _constant_mean(sample: Sequence[Answer], metric: Metric) -> float | None:
    """Mean score of the first example's reference given as the answer to every example."""
    reference = next((a.example.reference for a in sample if a.example.reference), None)
    if reference is None:
        return None
    constant = Prediction(fields=reference, validity="as_is")
    return _mean_score([(answer.example, constant) for answer in sample], metric)


def _shuffled_mean(sample: Sequence[Answer], metric: Metric) -> float | None:
    """Mean score with each answer dealt to the next example."""
    if len(sample) < 2:
        return None
    shifted = [*sample[1:], sample[0]]
    return _mean_score(
        [(a.example, b.prediction) for a, b in zip(sample, shifted, strict=True)], metric
    )


def _mean_score(pairs: Sequence[tuple[Example, Prediction]], metric: Metric) -> float | None:
    scores = []
    for example, prediction in pairs:
        try:
            scores.append(metric.score(example, prediction).value)
        except Exception:  # border: one example; a null answer the metric cannot take has no score
            continue
    return sum(scores) / len(scores) if scores else None


def _relevance(
    sample: Sequence[Answer], tokens: Sequence[Sequence[str]], seed: int
) -> AuditFinding:
    """Do answers fit their own example better than another's? One-sided permutation test.

    The statistic is the mean TF-IDF cosine between an example's inputs and the answer it got
    (Salton & Buckley 1988, tf·idf with cosine normalisation); permutations deal the answers anew.
    """
    import numpy as np

    n = len(sample)
    required = f"p < {RELEVANCE_P} that answers fit their own example better than another's"
    if n < 4:
        return AuditFinding(
            name="relevance",
            passed=False,
            observed=None,
            required=required,
            why=f"{n} scored answers are too few to test whether they fit their examples.",
        )
    inputs = [words_of(answer.example.inputs) for answer in sample]
    similarity = _tf_idf(inputs) @ _tf_idf(tokens, like=inputs).T  # (n, n): input i, answer j
    rng = np.random.default_rng(seed)
    own = float(similarity.diagonal().mean())
    rows = np.arange(n)
    dealt = np.array([similarity[rows, rng.permutation(n)].mean() for _ in range(PERMUTATIONS)])
    p = (int((dealt >= own - 1e-12).sum()) + 1) / (PERMUTATIONS + 1)
    margin = similarity.diagonal() - (similarity.sum(axis=1) - similarity.diagonal()) / (n - 1)
    worst = [sample[i].example.id for i in np.argsort(margin)[:3]]
    fits = p < RELEVANCE_P
    return AuditFinding(
        name="relevance",
        passed=fits,
        observed=p,
        required=required,
        why=(
            f"Mean similarity to the own example is {own:.3f}, with shuffled answers "
            f"{float(dealt.mean()):.3f} (p = {p:.3f}, n = {n})"
            + ("." if fits else ": the answers do not depend on the example.")
        ),
        examples=() if fits else tuple(worst),
    )


def _tf_idf(documents: Sequence[Sequence[str]], like: Sequence[Sequence[str]] | None = None) -> Any:
    """Unit rows of tf·idf weights over the words of ``like`` (default: of the documents)."""
    import numpy as np

    vocabulary = {
        word: i for i, word in enumerate(sorted({w for d in (like or documents) for w in d}))
    }
    counts = np.zeros((len(documents), max(1, len(vocabulary))), dtype=np.float32)
    for row, document in enumerate(documents):
        for word in document:
            column = vocabulary.get(word)
            if column is not None:
                counts[row, column] += 1
    frequency = (counts > 0).sum(axis=0)
    weights = np.log1p(counts) * np.log((1 + len(documents)) / (1 + frequency))
    norms = np.linalg.norm(weights, axis=1, keepdims=True)
    return weights / np.where(norms > 0, norms, 1)


def shingles(words: Sequence[str]) -> frozenset[tuple[str, ...]]:
    """The word triples of a text; one that is shorter is a single shingle.

    >>> sorted(shingles(["book", "club", "with", "wine"])), shingles(["wine"])
    ([('book', 'club', 'with'), ('club', 'with', 'wine')], frozenset({('wine',)}))
    """
    if 0 < len(words) < 3:
        return frozenset([tuple(words)])
    return frozenset(zip(words, words[1:], words[2:], strict=False))


def near_pairs(
    documents: Sequence[Sequence[str]],
    others: Sequence[Sequence[str]] | None = None,
    *,
    at_least: float = NEAR_COPY,
) -> Iterator[tuple[int, int, float]]:
    """Pairs whose word triples have a Jaccard similarity of ``at_least`` (above 0) or more.

    Yields ``(i, j, similarity)``: an index into the documents and one into ``others``; without
    ``others`` two indices into the documents, ``i > j``. Two empty documents are equal.

    >>> list(near_pairs([["wine", "club"], ["book", "club"], ["wine", "club"]]))
    [(2, 0, 1.0)]
    """
    import numpy as np
    from scipy import sparse

    left = [shingles(words) for words in documents]
    right = left if others is None else [shingles(words) for words in others]
    column: dict[tuple[str, ...], int] = {}
    for one in (*left, *right):
        for shingle in one:
            column.setdefault(shingle, len(column))

    def matrix(sets: Sequence[frozenset[tuple[str, ...]]]) -> Any:
        ends = np.cumsum([0, *map(len, sets)])
        indices = np.fromiter((column[s] for one in sets for s in one), dtype=np.int64)
        ones = np.ones(len(indices), dtype=np.int32)
        return sparse.csr_array((ones, indices, ends), shape=(len(sets), max(1, len(column))))

    sizes = np.array([len(one) for one in left]), np.array([len(one) for one in right])
    empty = np.flatnonzero(sizes[1] == 0).tolist()
    transposed = matrix(right).T.tocsr()
    for start in range(0, len(left), BLOCK):
        common = (matrix(left[start : start + BLOCK]) @ transposed).tocoo()  # (block, len(right))
        i, j = common.coords[0] + start, common.coords[1]
        similarity = common.data / (sizes[0][i] + sizes[1][j] - common.data)
        wanted = (similarity >= at_least) & ((i > j) | (others is not None))
        for pair in zip(i[wanted], j[wanted], similarity[wanted], strict=True):
            yield int(pair[0]), int(pair[1]), float(pair[2])
    for first in np.flatnonzero(sizes[0] == 0).tolist():
        yield from ((first, other, 1.0) for other in empty if others is not None or first > other)


def _near_copies(sample: Sequence[Answer], tokens: Sequence[Sequence[str]]) -> AuditFinding:
    """The share of answers that nearly repeat another answer of the arm."""
    copied = {index for i, j, _ in near_pairs(tokens) for index in (i, j)}
    return _copies("near_copies", "another of its answers", sample, copied)


def _training_copies(
    sample: Sequence[Answer],
    tokens: Sequence[Sequence[str]],
    training: Sequence[Mapping[str, Any]],
) -> AuditFinding:
    """The share of answers that nearly repeat a training answer."""
    known = [words_of(reference) for reference in training]
    copied = {i for i, _, _ in near_pairs(tokens, known)}
    return _copies("training_copies", "a training answer", sample, copied)


def _copies(name: str, of: str, sample: Sequence[Answer], copied: AbstractSet[int]) -> AuditFinding:
    share = len(copied) / len(sample) if sample else 0.0
    return AuditFinding(
        name=name,
        passed=share <= MOST,
        observed=share,
        required=f"at most {MOST:.0%} of the answers",
        why=f"{len(copied)} of {len(sample)} answers are near-copies of {of}.",
        examples=tuple(sample[i].example.id for i in sorted(copied)[:3]),
    )
