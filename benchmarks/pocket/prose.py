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
from styles import LISTS

if TYPE_CHECKING:
    from random import Random

    from styles import Style

FOLDER = Path(__file__).parent / "prose"


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
        title = next((word for word in title.split() if 3 < len(word) < 10), "App")
    if style.description == "short":
        description = description.split(". ")[0][:95].rsplit(" ", 1)[0]
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
