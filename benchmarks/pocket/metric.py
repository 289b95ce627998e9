"""Score answers as the harness does, and count how much of the concept they mention."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import yaml

PREFIXES = {"functional_requirements": "FR", "non_functional_requirements": "NFR"}
PREFIXES |= {"constraints": "C"}
STOP = set(
    """a an and are as at be because but by can each every for from has have if in into is it its
    let lets like need needs no not nobody of on one or our out own so that the their them they
    this to up use want wants way we when where which while who will with without would helps help
    al así como con cuando de del desde donde el ella en entre es esta este la las le les lo los
    más mi no o para pero por porque pueda puedan que quien quiere quieren se según ser si sin
    sobre son su sus también tiene un una uno unos y ya""".split()
)


def read_plain(text: str) -> dict[str, Any]:
    """The YAML mapping of an answer, also in a fence or after prose; empty if there is none."""
    fence = re.search(r"```(?:ya?ml)?\n(.*?)(?:```|\Z)", text, re.S)
    body = fence[1] if fence else text
    start = re.search(r"^title:", body, re.M)
    body = body[start.start() :] if start else body
    try:
        document = yaml.safe_load(body)
    except (yaml.YAMLError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def read_dspy(text: str) -> dict[str, Any]:
    """The fields of an answer in DSPy's format; empty unless all five are there."""
    parts = re.split(r"^\[\[ ## (\w+) ## \]\]$", text, flags=re.M)
    found = {name: body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=False)}
    return found if {"title", "description", *PREFIXES} <= set(found) else {}


def score(document: dict[str, Any]) -> float:
    """``ba_requirements`` of a parsed answer, at most 6.5 / 7."""
    points = sum(bool(document.get(name)) for name in ("title", "description", *PREFIXES)) / 5
    points += 0.5 * (10 <= len(str(document.get("title") or "").strip()) <= 100)
    points += 0.5 * (len(str(document.get("description") or "").strip()) >= 100)
    for name, prefix in PREFIXES.items():
        items = _list(document.get(name))
        if items is not None:
            points += 0.5 + 0.5 * (len(items) >= 2)
            points += 0.5 * (sum(_valid(item, prefix) for item in items) >= 2)
    return points / 7


def recall(concept: str, text: str) -> float:
    """Share of the concept's content words that the answer has, by their first five letters."""
    words, have = _content(concept), _content(text)
    return len(words & have) / len(words) if words else 1.0


def _list(value: Any) -> list[Any] | None:
    if isinstance(value, str):
        try:
            value = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError):
            return None
    return value if isinstance(value, list) and value else None


def _valid(item: Any, prefix: str) -> bool:
    if not isinstance(item, dict) or not {"id", "description", "priority"} <= set(item):
        return False
    return re.fullmatch(rf"{prefix}\d+", str(item["id"])) is not None


def _content(text: str) -> set[str]:
    plain = unicodedata.normalize("NFKD", text.lower())
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    words = re.findall(r"[a-z0-9]+", plain)
    stop = {unicodedata.normalize("NFKD", w).encode("ascii", "ignore").decode() for w in STOP}
    return {word[:5] for word in words if len(word) > 2 and word not in stop}
