"""Texts that are nearly the same, found among any number of them in memory that does not grow.

Two sets can only be similar if they share one of their rarest members (prefix filtering: Chaudhuri,
Ganti & Kaushik 2006, "A primitive operator for similarity joins in data cleaning"; Bayardo, Ma &
Srikant 2007, "Scaling up all pairs similarity search"). So each text is filed under its rarest word
triples only, texts that meet there are compared, and what is on file lies on disk.
"""

from __future__ import annotations

import math
import os
from array import array
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

CELLS = 1 << 22
"""Counters of how often word triples occur; triples that share one count together."""
PART = 1 << 18
"""About so many triples on file are looked at at once."""
MOST_PARTS = 256
CROWD = 16
"""Texts that may meet under one triple and still all be compared, however many texts there are."""
NEAREST = 4
"""In a larger crowd a text is compared with so many before it, and with the first one."""
BUDGET = 8_000_000
"""Comparisons in all that may be planned beyond that."""
AT_ONCE = 2_000
"""Texts filed at once."""
LONG = 40
"""Characters of a word from which the hashes of its text are not kept."""


class Similar:
    """A set of texts on disk, searched for pairs of them that are similar.

    Found is every pair that shares one of its rarest triples with a crowd of no more than
    ``CROWD`` texts, or of ``BUDGET`` divided by the number of triples on file if that is more, so
    some hundreds of texts are always compared exactly. In a larger crowd each text is compared with
    the ``NEAREST`` before it and with the first one, which finds what belongs together, though not
    every pair of it.

    Args:
        folder: an empty folder, for this set alone.
        at_least: Jaccard similarity of word triples that is wanted, above 0.
    """

    def __init__(self, folder: Path, at_least: float) -> None:
        import numpy as np

        self._folder = folder
        self._at_least = at_least
        self._store = (folder / "triples").open("w+b", buffering=1 << 20)
        self._ends = array("q", [0])
        self._numbers = array("q")
        self._counts = np.zeros(CELLS, dtype=np.uint32)  # (CELLS,)
        self._filed = 0
        self._hash = lru_cache(maxsize=1 << 16)(_hash)

    def add(self, number: int, words: Sequence[str]) -> None:
        """Add a text, as words, under a number that is higher than those before."""
        triples = self._triples(words)
        self._counts[triples % CELLS] += 1  # a cell that is named twice counts once
        self._store.write(triples.tobytes())
        self._ends.append(self._ends[-1] + len(triples))
        self._numbers.append(number)
        self._filed += self._prefix(len(triples))

    def close(self) -> None:
        """Close the files."""
        self._store.close()

    def pairs(
        self, observe: Callable[[float], None] = lambda share: None
    ) -> Iterator[tuple[int, int, float]]:
        """The later number, the earlier number, their similarity; by later number.

        Args:
            observe: told what share of the work is done.
        """
        self._store.flush()
        parts = min(MOST_PARTS, self._filed // PART + 1)
        filed = _Parts(self._folder / "filed", parts, width=2)
        for done, block in self._prefixes():
            filed.add(block, block[:, 0] % parts)
            observe(0.3 * done)
        met = _Parts(self._folder / "met", parts, width=1)
        crowd = max(CROWD, BUDGET // max(1, self._filed))
        for part, block in enumerate(filed.read()):
            for pairs in self._meetings(block, crowd):
                met.add(pairs, (pairs[:, 0] >> 32) * parts // len(self._numbers))
            observe(0.3 + 0.3 * (part + 1) / parts)
        for part, block in enumerate(met.read()):
            yield from self._compared(block)
            observe(0.6 + 0.4 * (part + 1) / parts)

    def _triples(self, words: Sequence[str]) -> Any:
        """Sorted hashes of the word triples, each once; shape (n,), n > 0."""
        import numpy as np

        is_short = max(map(len, words), default=0) < LONG
        hashes = list(map(self._hash if is_short else _hash, words))
        one = np.array([*hashes, *[0] * (3 - len(words))], dtype=np.uint64)
        mixed = one[:-2] * np.uint64(0x9E3779B97F4A7C15)  # odd constants; it wraps around
        mixed += one[1:-1] * np.uint64(0xC2B2AE3D27D4EB4F)
        mixed += one[2:] * np.uint64(0x165667B19E3779F9)
        mixed ^= mixed >> np.uint64(29)
        mixed.sort()
        return mixed[np.r_[True, mixed[1:] != mixed[:-1]]]

    def _prefix(self, size: int) -> int:
        """So many of the rarest members, one of which every set that is similar must share."""
        return size - _in_common(self._at_least, size) + 1

    def _get(self, text: int) -> Any:
        """The triples of a text, from the disk; shape (n,)."""
        import numpy as np

        start, end = self._ends[text], self._ends[text + 1]
        raw = os.pread(self._store.fileno(), 8 * (end - start), 8 * start)
        return np.frombuffer(raw, dtype=np.uint64)

    def _prefixes(self) -> Iterator[tuple[float, Any]]:
        """Blocks of (triple, text), the rarest triples of each text; with the share of texts."""
        import numpy as np

        texts = len(self._numbers)
        for start in range(0, texts, AT_ONCE):
            chosen = []
            for text in range(start, min(start + AT_ONCE, texts)):
                triples = self._get(text)
                rarest = np.lexsort((triples, self._counts[triples % CELLS]))
                kept = triples[rarest[: self._prefix(len(triples))]]
                chosen.append(np.stack([kept, np.full(len(kept), text, dtype=np.uint64)], axis=1))
            yield min(1.0, (start + AT_ONCE) / texts), np.concatenate(chosen)

    def _meetings(self, filed: Any, crowd: int) -> Iterator[Any]:
        """Blocks of texts to compare, shape (n, 1): the later one in the upper 32 bits."""
        import numpy as np

        order = np.lexsort((filed[:, 1], filed[:, 0]))
        triples, texts = filed[order, 0], filed[order, 1]
        starts = np.flatnonzero(np.r_[True, triples[1:] != triples[:-1]])
        sizes = np.diff(np.r_[starts, len(triples)])
        starts, sizes = np.repeat(starts, sizes), np.repeat(sizes, sizes)  # now by text
        place = np.arange(len(triples)) - starts
        crowded = np.flatnonzero((sizes > crowd) & (place > 1))
        yield self._of_like_size(texts[crowded], texts[starts[crowded]])
        for back in range(1, crowd):
            later = np.flatnonzero((place >= back) & ((sizes <= crowd) | (back <= NEAREST)))
            if not len(later):
                return
            yield self._of_like_size(texts[later], texts[later - back])

    def _of_like_size(self, later: Any, earlier: Any) -> Any:
        """The pairs whose sizes allow the similarity, packed; shape (n, 1)."""
        import numpy as np

        ends = np.frombuffer(self._ends, dtype=np.int64)
        sizes = np.diff(ends)
        one, other = sizes[later.astype(int)], sizes[earlier.astype(int)]
        allowed = np.minimum(one, other) >= self._at_least * np.maximum(one, other) - 1e-9
        return ((later[allowed] << np.uint64(32)) | earlier[allowed])[:, None]

    def _compared(self, met: Any) -> Iterator[tuple[int, int, float]]:
        import numpy as np

        known, mine = -1, np.empty(0)
        for packed in np.unique(met[:, 0]).tolist():
            later, earlier = packed >> 32, packed & 0xFFFFFFFF
            if later != known:
                known, mine = later, self._get(later)
            other = self._get(earlier)
            common = len(np.intersect1d(mine, other, assume_unique=True))
            similarity = common / (len(mine) + len(other) - common)
            if similarity >= self._at_least:
                yield self._numbers[later], self._numbers[earlier], similarity


class _Parts:
    """Numbers on disk, dealt to files that are read one by one."""

    def __init__(self, folder: Path, parts: int, width: int) -> None:
        folder.mkdir()
        self._files = [folder / str(part) for part in range(parts)]
        self._width = width

    def add(self, rows: Any, part_of: Any) -> None:
        """Append rows, shape (n, width), each to its part."""
        import numpy as np

        order = np.argsort(part_of, kind="stable")
        rows, part_of = rows[order], part_of[order]
        ends = np.searchsorted(part_of, np.arange(len(self._files) + 1))
        for part, file in enumerate(self._files):
            if ends[part] < ends[part + 1]:
                with file.open("ab") as stream:
                    stream.write(rows[ends[part] : ends[part + 1]].tobytes())

    def read(self) -> Iterator[Any]:
        """The rows of each part, shape (n, width); its file goes."""
        import numpy as np

        for file in self._files:
            if file.exists():
                raw = np.fromfile(file, dtype=np.uint64)
                file.unlink()
                yield raw.reshape(-1, self._width)


def _in_common(at_least: float, size: int) -> int:
    """Members, at the least, that a set of this size shares with every set that is similar to it.

    >>> _in_common(0.8, 10), _in_common(0.5, 5), _in_common(0.5, 1)
    (8, 3, 1)
    """
    return max(1, math.ceil(at_least * size - 1e-9))


def _hash(word: str) -> int:
    return int.from_bytes(
        blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little"
    )
