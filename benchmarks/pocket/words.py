"""Raw material for the corpus: Debian's word lists where they are installed, else a few words.

``apt-get install wamerican wspanish wordnet-base`` provides the lists; the grammar runs without.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

WORDNET = Path("/usr/share/wordnet")
SPANISH = Path("/usr/share/dict/spanish")
ENGLISH = Path("/usr/share/dict/american-english")
_SYLLABLES = (
    "ba be bi bo ca ce cor da del di dor el en fa fer ga gra hol in ka kel la len lo lu ma mer mi "
    "mon na ni nor o pa per pla qui ra rel ri ro sa sel si sol ta ten ti tor tra u va ver vi wen "
    "xa yo za zen"
).split()


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Words of one language by part of speech; ``glosses`` are short free clauses."""

    nouns: tuple[str, ...]
    verbs: tuple[str, ...]
    adjectives: tuple[str, ...]
    agents: tuple[str, ...]
    glosses: tuple[str, ...]
    rare: tuple[str, ...]


def english() -> Words:
    """Nouns, verbs, adjectives and glosses of WordNet, commoner words more often."""
    nouns = _index("noun") or ("ledger", "parcel", "harbor", "ticket", "orchard")
    verbs = _index("verb") or ("track", "share", "approve", "print", "sort")
    adjectives = _index("adj") or ("urgent", "daily", "remote", "seasonal")
    agents = tuple(n for n in nouns if re.search(r"(er|or|ist|ian)$", n) and len(n) > 5)
    return Words(
        nouns=nouns,
        verbs=verbs,
        adjectives=adjectives,
        agents=agents or ("baker", "inspector"),
        glosses=_glosses() or ("a place where things are kept in good order",),
        rare=_lines(ENGLISH) or nouns,
    )


def spanish() -> Words:
    """Words of Debian's Spanish list, sorted into parts of speech by their endings."""
    every = _lines(SPANISH) or ("almacenar", "pedido", "factura", "entrenador", "urgente")
    nouns = _ending(every, r"(ción|sión|dad|miento|aje|ura|eza|[^e]ría|[dlnrt][oa])$")
    return Words(
        nouns=nouns or ("pedido", "factura"),
        verbs=_ending(every, r"[^aeiou](ar|er|ir)$") or ("almacenar",),
        adjectives=_ending(every, r"(able|ible|[nt]al|[ct]ivo|oso|ario|ente)$") or ("urgente",),
        agents=_ending(every, r"(ista|ador|edor|idor|ero)$") or ("entrenador",),
        glosses=(),
        rare=every,
    )


def phrases(text: str) -> list[str]:
    """The phrases of a table written with bars and line ends between them."""
    return text.replace("\n", "|").split("|")


def pseudo(random: Random) -> str:
    """A pronounceable word that exists in no list."""
    return "".join(random.choice(_SYLLABLES) for _ in range(random.randint(2, 4)))


def _lines(path: Path) -> tuple[str, ...]:
    if not path.exists():
        return ()
    words = path.read_text(encoding="utf-8").split()
    return tuple(w for w in words if w.isalpha() and w.islower() and 3 <= len(w) <= 14)


def _ending(words: tuple[str, ...], pattern: str) -> tuple[str, ...]:
    return tuple(word for word in words if re.search(pattern, word) and len(word) >= 5)


def _index(name: str) -> tuple[str, ...]:
    """Lemmas of a WordNet index; those seen in its tagged texts are listed three times."""
    path = WORDNET / f"index.{name}"
    if not path.exists():
        return ()
    words: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        fields = line.split()
        word = fields[0]
        if line.startswith(" ") or not word.isalpha() or not 3 <= len(word) <= 13:
            continue
        pointers = int(fields[3])
        tagged = int(fields[5 + pointers])
        words += [word] * (4 if tagged > 1 else 2 if tagged else 1)
    return tuple(words)


def _glosses() -> tuple[str, ...]:
    """Definitions of 4 to 12 plain words, which need no quoting anywhere."""
    path = WORDNET / "data.noun"
    if not path.exists():
        return ()
    found: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        gloss = line.partition(" | ")[2].split(";")[0].strip()
        if re.fullmatch(r"[a-z][a-z ,]+[a-z]", gloss) and 4 <= len(gloss.split()) <= 12:
            found.append(gloss)
    return tuple(found)
