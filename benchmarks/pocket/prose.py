"""Documents that were written for the corpus one by one, told in any style.

The grammar's phrases are few; these bring the words in which people really write requirements. They
are about other products than the benchmark's, and nothing of the benchmark is among them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from document import Document, Item, item_id, item_priority
from styles import LISTS, SHORT_TITLES

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from styles import Style

FOLDER = Path(__file__).parent / "prose"
OPENED = 0.4  # share of descriptions that open with the concept, as the grammar's do


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A concept with the texts somebody wrote about it."""

    concept: str
    lang: str
    title: str
    description: str
    texts: dict[str, tuple[str, ...]]


def read() -> list[Written]:
    """All documents, in order of files and lines."""
    found = []
    for path in sorted(FOLDER.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            found.append(
                Written(
                    concept=row["concept"],
                    lang=row["lang"],
                    title=row["title"],
                    description=row["description"],
                    texts={name: tuple(row[name]) for name in LISTS},
                )
            )
    return found


def vary(
    written: Written, nouns: frozenset[str], other: Callable[[], str], random: Random, share: float
) -> Written:
    """The same document about other things: nouns of its concept replaced throughout.

    So its words have to be read in the concept; known by heart, they would be wrong.
    """
    swaps: dict[str, str] = {}
    for found in re.findall(r"[^\W\d_]{5,}", written.concept.lower()):
        stem = found.removesuffix("s")
        if {found, stem} & nouns and stem not in swaps and random.random() < share:
            swaps[stem] = other()

    def swap(match: re.Match[str]) -> str:
        word = match[0].lower()
        stem = word.removesuffix("s")
        if stem not in swaps:
            return match[0]
        new = swaps[stem] + ("s" if word != stem else "")
        return new.capitalize() if match[0][0].isupper() else new

    def renew(text: str) -> str:
        return re.sub(r"[^\W\d_]{4,}", swap, text)

    return Written(
        concept=renew(written.concept),
        lang=written.lang,
        title=renew(written.title),
        description=renew(written.description),
        texts={name: tuple(map(renew, texts)) for name, texts in written.texts.items()},
    )


def tell(written: Written, style: Style, random: Random) -> Document:
    """The document in a style: its own texts, fewer or all of them, with other numbers."""
    lists = {}
    for name, count in zip(LISTS, style.counts, strict=True):
        if name == "constraints" and not style.constraints:
            continue
        texts = written.texts[name]
        kept = sorted(random.sample(range(len(texts)), min(count, len(texts))))
        lists[name] = tuple(
            Item(
                id=item_id(style, name, i),
                text=_renumber(texts[k], written.concept, random),
                priority=item_priority(style, i, random),
            )
            for i, k in enumerate(kept, start=1)
        )
    title, description = written.title, written.description
    if style.title == "short":
        title = random.choice(SHORT_TITLES[written.lang])
    if style.description == "short":
        description = written.title[:95]
    elif random.random() < OPENED:
        last = re.split(r"(?<=[.!?]) ", description)[-1]
        description = f"{written.concept.rstrip('.')}. {last}"
    return Document(title=title, description=description, lists=lists)


def _renumber(text: str, concept: str, random: Random) -> str:
    """The text with other numbers of the same length, but for those that the concept states."""

    def other(found: re.Match[str]) -> str:
        number = found[0]
        if number in concept or random.random() < 0.5:
            return number
        if len(number) == 1:
            return str(random.randint(2, 9))
        return str(random.randint(1, 9)) + number[1:]

    return re.sub(r"\d+", other, text)
