"""Texts compared without a model: words, word triples, sets that overlap, tf·idf weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NEAR_COPY = 0.8
"""Jaccard similarity of word triples from which two documents are the same but for a few words."""
BLOCK = 512
"""Documents compared with all others at once, so that memory grows with their number only."""

Shingles = frozenset[tuple[str, ...]]

_WORD = re.compile(r"\w{3,}")


def words_of(value: Any) -> list[str]:
    """Lower-case words of three characters or more in any nested value, keys left out.

    >>> words_of({"title": "A wine app", "items": [{"id": "FR001"}]})
    ['wine', 'app', 'fr001']
    """
    return _WORD.findall("\n".join(_texts(value)).lower())


def _texts(value: Any) -> list[str]:
    """Every text in a value, in order; other single values as text, None left out."""
    found: list[str] = []

    def collect(inner: Any) -> None:
        if isinstance(inner, str):
            found.append(inner)
        elif isinstance(inner, Mapping):
            for one in inner.values():
                collect(one)
        elif isinstance(inner, (list, tuple)):
            for one in inner:
                collect(one)
        elif inner is not None:
            found.append(str(inner))

    collect(value)
    return found


def shingles(words: Sequence[str]) -> Shingles:
    """The word triples of a text; one that is shorter is a single shingle.

    >>> sorted(shingles(["book", "club", "with", "wine"])), shingles(["wine"])
    ([('book', 'club', 'with'), ('club', 'with', 'wine')], frozenset({('wine',)}))
    """
    if 0 < len(words) < 3:
        return frozenset([tuple(words)])
    return frozenset(zip(words, words[1:], words[2:], strict=False))


def without_quotes(words: Sequence[str], source: Sequence[str]) -> Shingles:
    """The word triples of a text but for those that touch what it takes from ``source``.

    Taken is a run of three words, or all of a shorter source; so a template into which the source
    was pasted is left as the bare template.

    >>> without_quotes("plan for wine club now and then".split(), "wine club now".split())
    frozenset()
    """
    size = min(3, len(source))
    known = {tuple(source[i : i + size]) for i in range(len(source) - size + 1)} if size else set()
    runs = zip(*(words[i:] for i in range(size)), strict=False)
    quoted = {k for i, run in enumerate(runs) if run in known for k in range(i, i + size)}
    touched = {k - back for k in quoted for back in range(3)}
    triples = zip(words, words[1:], words[2:], strict=False)
    return frozenset(t for i, t in enumerate(triples) if i not in touched)


def near_pairs(
    documents: Sequence[Sequence[str]],
    others: Sequence[Sequence[str]] | None = None,
    *,
    at_least: float = NEAR_COPY,
) -> Iterator[tuple[int, int, float]]:
    """Pairs of texts, given as words, whose word triples are ``near``.

    >>> list(near_pairs([["wine", "club"], ["book", "club"], ["wine", "club"]]))
    [(2, 0, 1.0)]
    """
    right = None if others is None else [shingles(words) for words in others]
    yield from near([shingles(words) for words in documents], right, at_least=at_least)


def near(
    left: Sequence[Shingles],
    others: Sequence[Shingles] | None = None,
    *,
    at_least: float,
    contained: bool = False,
) -> Iterator[tuple[int, int, float]]:
    """Pairs of sets whose similarity is ``at_least`` (above 0) or more; exact, no sampling.

    Yields ``(i, j, similarity)``: an index into ``left`` and one into ``others``; without
    ``others`` two indices into ``left``, ``i > j``. Similarity is Jaccard's, or the share of
    ``left`` that lies in the other where ``contained`` is asked. Two empty sets are equal.
    """
    import numpy as np
    from scipy import sparse

    right = left if others is None else others
    column: dict[tuple[str, ...], int] = {}
    numbered = [[column.setdefault(s, len(column)) for s in one] for one in left]

    def matrix(known: Sequence[Sequence[int]]) -> Any:
        ends = np.cumsum([0, *map(len, known)])
        indices = np.fromiter(chain.from_iterable(known), dtype=np.int64)
        ones = np.ones(len(indices), dtype=np.int32)
        return sparse.csr_array((ones, indices, ends), shape=(len(known), max(1, len(column))))

    sizes = np.array([len(one) for one in left]), np.array([len(one) for one in right])
    empty = np.flatnonzero(sizes[1] == 0).tolist()
    rows = matrix(numbered)  # (len(left), triples)
    if others is None:
        transposed = rows.T.tocsr()
    else:  # what is on the left nowhere meets nothing
        transposed = matrix([[column[s] for s in one if s in column] for one in right]).T.tocsr()
    for start in range(0, len(left), BLOCK):
        common = (rows[start : start + BLOCK] @ transposed).tocoo()  # (block, len(right))
        i, j = common.coords[0] + start, common.coords[1]
        whole = sizes[0][i] if contained else sizes[0][i] + sizes[1][j] - common.data
        similarity = common.data / whole
        wanted = (similarity >= at_least) & ((i > j) | (others is not None))
        for pair in zip(i[wanted], j[wanted], similarity[wanted], strict=True):
            yield int(pair[0]), int(pair[1]), float(pair[2])
    for first in np.flatnonzero(sizes[0] == 0).tolist():
        yield from ((first, other, 1.0) for other in empty if others is not None or first > other)


def tf_idf(documents: Sequence[Sequence[str]], like: Sequence[Sequence[str]] | None = None) -> Any:
    """Unit rows of tf·idf weights over the words of ``like`` (default: of the documents).

    Salton & Buckley 1988: term weighting with cosine normalisation. Words that every document has,
    such as articles of any language, weigh next to nothing. Shape (documents, words).
    """
    import numpy as np

    vocabulary = {
        word: i for i, word in enumerate(sorted({w for d in (like or documents) for w in d}))
    }
    counts = np.zeros((len(documents), max(1, len(vocabulary))), dtype=np.float32)
    known = [[vocabulary[w] for w in document if w in vocabulary] for document in documents]
    rows = np.repeat(np.arange(len(documents)), [len(columns) for columns in known])
    np.add.at(counts, (rows, np.fromiter(chain.from_iterable(known), dtype=np.int64)), 1)
    frequency = (counts > 0).sum(axis=0)
    weights = np.log1p(counts) * np.log((1 + len(documents)) / (1 + frequency))
    norms = np.linalg.norm(weights, axis=1, keepdims=True)
    return weights / np.where(norms > 0, norms, 1)
