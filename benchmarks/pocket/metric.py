"""Score answers as the harness does, and count how much of the concept they mention."""

from __future__ import annotations

import re
import unicodedata

import baft
from baft_ba import role
from baft_ba.metric import RequirementsMetric
from baft_ba.reading import Reader

STOP = set(
    """a an and are as at be because but by can each every for from has have if in into is it its
    let lets like need needs no not nobody of on one or our out own so that the their them they
    this to up use want wants way we when where which while who will with without would helps help
    al así como con cuando de del desde donde el ella en entre es esta este la las le les lo los
    más mi no o para pero por porque pueda puedan que quien quiere quieren se según ser si sin
    sobre son su sus también tiene un una uno unos y ya""".split()
)


READER = Reader(role.OUTPUTS)
METRIC = RequirementsMetric()


def score(concept: str, answer: str) -> float:
    """``ba_requirements`` of an answer, read leniently; at most 6.5 / 7."""
    example = baft.Example(id="dev", inputs={"concept": concept})
    return METRIC.score(example, READER.text(answer, "lenient")).value


def recall(concept: str, text: str) -> float:
    """Share of the concept's content words that the answer has, by their first five letters."""
    words, have = _content(concept), _content(text)
    return len(words & have) / len(words) if words else 1.0


def _content(text: str) -> set[str]:
    plain = unicodedata.normalize("NFKD", text.lower())
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    words = re.findall(r"[a-z0-9]+", plain)
    stop = {unicodedata.normalize("NFKD", w).encode("ascii", "ignore").decode() for w in STOP}
    return {word[:5] for word in words if len(word) > 2 and word not in stop}
