"""A model's own best answers as training data: from runs of ``baft eval`` to JSONL.

``python benchmarks/pocket/distil.py RUN… --output FILE`` keeps, for every concept, the answer that
scored highest, and of equals the one that takes up most of the concept's words. Concepts without an
answer of at least ``--least`` keep their reference from ``--references``, or are left out.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import yaml

from baft.audit import words_of
from baft.store import RunStore

LISTS = ("functional_requirements", "non_functional_requirements", "constraints")


def documents(run: Path) -> list[tuple[str, float, dict[str, object]]]:
    """Concept, score and fields of every scored answer of a run."""
    store = RunStore.open(run)
    concepts = {example.id: str(example.inputs["concept"]) for example in store.examples()}
    (arm,) = (arm.name for arm in store.manifest().arms)
    found = [
        (concepts[r.example_id], r.score.value, dict(r.prediction.fields))
        for r in store.results(arm)
        if r.score is not None and r.prediction is not None
    ]
    store.close()
    return found


def recall(concept: str, document: dict[str, object]) -> float:
    """Share of the concept's words of four letters and more that the document takes up."""
    wanted = {word for word in words_of(concept) if len(word) > 3}
    return len(wanted & set(words_of(document))) / max(1, len(wanted))


def native(document: dict[str, object]) -> dict[str, object]:
    """The document with its lists as lists."""
    return {
        key: yaml.safe_load(value) if key in LISTS and isinstance(value, str) else value
        for key, value in document.items()
    }


def main() -> None:
    """Write the best answers and say how many concepts have one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--references", type=Path, help="dataset with the concepts' references")
    parser.add_argument("--least", type=float, default=6.5 / 7 - 1e-9)
    options = parser.parse_args()
    best: dict[str, tuple[float, float, dict[str, object]]] = {}
    concepts: set[str] = set()
    for run in options.runs:
        for concept, score, document in documents(run):
            concepts.add(concept)
            if score < options.least:
                continue
            candidate = (score, recall(concept, document), native(document))
            if candidate[:2] > best.get(concept, (0.0, 0.0))[:2]:
                best[concept] = candidate
    documents_by_concept = {concept: document for concept, (_, _, document) in best.items()}
    if options.references:
        rows = map(json.loads, options.references.read_text(encoding="utf-8").splitlines())
        documents_by_concept = {
            row["concept"]: documents_by_concept.get(row["concept"], row["requirements"])
            for row in rows
        }
    with options.output.open("w", encoding="utf-8") as out:
        for concept, document in documents_by_concept.items():
            row = {"concept": concept, "requirements": document}
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
    mean = sum(entry[1] for entry in best.values()) / max(1, len(best))
    print(f"{len(best)} of {len(concepts)} concepts have one, mean recall {mean:.2f}")


if __name__ == "__main__":
    main()
