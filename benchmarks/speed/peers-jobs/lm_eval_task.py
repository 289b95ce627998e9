"""The functions that the lm-eval task, a YAML file which ``peers.py`` writes, names."""

from __future__ import annotations

from typing import Any

from scoring import ROLE, prompt, score


def doc_to_text(doc: dict[str, Any]) -> str:
    """The prompt of one row."""
    return prompt(ROLE.example(doc))


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """The score of one answer."""
    return {"ba": score(ROLE.example(doc), results[0])}
