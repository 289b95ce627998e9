"""The roles behind the business analyst, from their default benchmark to a decision, by replay."""

from __future__ import annotations

import json

import pytest
import yaml

from baft.loader import load_plugins
from pipeline_rows import CONCEPT, REQUIREMENTS, architect_row, owner_row

from .conftest import VAL

PLUGINS = load_plugins()
ROWS = [json.loads(line) for line in VAL.read_text(encoding="utf-8").splitlines()]


def blocks(role, **documents):
    labels = {field.name: field.label for field in PLUGINS.role(role).outputs}
    texts = {name: yaml.safe_dump(value, sort_keys=False) for name, value in documents.items()}
    return "\n".join(f"```{labels[name]}\n{text}```" for name, text in texts.items())


def owner_answer(requirements):
    wanted = requirements["functional_requirements"]
    said = [item["description"] for item in wanted]
    vision = {
        "product_name": requirements["title"],
        "product_summary": requirements["description"],
        "target_users": said[:2],
        "value_proposition": said[1:3],
        "key_capabilities": said,
        "non_goals": [],
        "success_metrics": said[-2:],
        "last_updated": "2025-03-01",
    }
    review = {
        "status": "aligned",
        "summary": said[:2],
        "requirements_alignment": {
            "aligned": [f"{item['id']} {item['description']}" for item in wanted],
            "gaps": [],
            "conflicts": [],
        },
        "recommended_actions": said[-2:],
        "narrative": requirements["description"],
    }
    return blocks("product_owner", product_vision=vision, product_owner_review=review)


def architect_answer(requirements):
    stories = [
        {
            "id": f"S{number}",
            "epic": "E1",
            "title": item["description"][:100],
            "description": item["description"],
            "acceptance": [item["description"]],
            "priority": item["priority"],
            "estimate": "M",
        }
        for number, item in enumerate(requirements["functional_requirements"], start=1)
    ]
    epic = {"id": "E1", "name": requirements["title"], "stories": [one["id"] for one in stories]}
    architecture = {"backend": {"framework": "Django"}, "frontend": {"framework": "htmx"}}
    return blocks(
        "architect", stories_yaml=stories, epics_yaml=[epic], architecture_yaml=architecture
    )


@pytest.fixture
def replay(project):
    """Writes a replay over the validation examples; every third answer of a poor one is prose."""

    def write(role, name, answer, poor=False):
        reader = PLUGINS.role(role)
        with (project / f"{name}.jsonl").open("w", encoding="utf-8") as out:
            for i, row in enumerate(ROWS):
                text = "I would rather not." if poor and i % 3 == 0 else answer(row["requirements"])
                line = {"id": reader.example(row).id, "output": text}
                out.write(json.dumps(line) + "\n")
        return f"{name}.jsonl"

    return write


@pytest.mark.parametrize(
    ("role", "answer", "floor"),
    [("product_owner", owner_answer, 1 / 64), ("architect", architect_answer, 0.1)],
)
def test_the_default_benchmark_is_compared_and_decided(role, answer, floor, project, baft, replay):
    good = replay(role, "all", answer)
    poor = replay(role, "some", answer, poor=True)
    baft("init")
    code, out, err = baft("compare", role, "--baseline", poor, "--candidate", f"new={good}")
    assert code == 0, err
    (folder,) = (project / "artifacts" / "runs").iterdir()
    report = json.loads((folder / "report.json").read_text())
    rows = {row["id"]: row["score"] for row in report["models"]["baseline"]["predictions"]}
    assert min(rows.values()) == floor == report["metadata"]["floor"]
    assert report["models"]["new"]["scores"]["min"] > 0.75
    assert report["models"]["baseline"]["validity"]["none"] == pytest.approx(8 / 22)
    assert f"its floor is {floor:.4f}" in " ".join(out.split())
    assert f"its floor is {floor:.4f}" in (folder / "report.md").read_text()
    assert f"its floor is {floor:.4f}" in (folder / "report.html").read_text()
    decision = json.loads((folder / "decision.json").read_text())
    assert {rule["name"] for rule in decision["rules"]} >= {"threshold", "complete", "audit"}


@pytest.mark.parametrize(
    ("role", "row", "metric"),
    [
        ("product_owner", owner_row, "product_owner"),
        ("architect", architect_row, "architect_v1"),
        ("architect", architect_row, "architect_v2"),
        ("architect_stories", architect_row, "stories_epics"),
        ("architect_arch", architect_row, "architecture_only"),
    ],
)
def test_a_reference_answered_word_for_word_scores_one(role, row, metric, project, baft):
    (project / "rows.jsonl").write_text(json.dumps(row()) + "\n")
    player = PLUGINS.role(role)
    example = player.example(row())
    line = {"inputs": example.inputs, "output": player.target(example)}
    (project / "out.jsonl").write_text(json.dumps(line) + "\n")
    code, _, err = baft(
        *("eval", "--role", role, "--metric", metric, "--model", "out.jsonl"),
        *("--dataset", "rows.jsonl"),
    )
    assert code == 0, err
    report = json.loads((project / "eval_report.json").read_text())
    assert report["models"]["model"]["scores"]["mean"] == 1.0
    assert report["models"]["model"]["validity"]["as_is"] == 1.0


def test_dirty_rows_are_named_by_line_and_skipped_only_when_asked(project, baft):
    meta = {"concept": CONCEPT, "requirements_yaml": "meta:\n  original_request: bread\n"}
    told = {"concept": CONCEPT, "requirements_yaml": REQUIREMENTS}
    broken = {"product_vision": "a: b: c", "product_owner_review": "status: aligned"}
    rows = [owner_row(), {"input": meta}, {"input": told, "output": broken}]
    (project / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    replayed = {"id": PLUGINS.role("product_owner").example(rows[0]).id, "output": "x"}
    (project / "out.jsonl").write_text(json.dumps(replayed) + "\n")
    flags = ("eval", "--role", "product_owner", "--model", "out.jsonl", "--dataset", "rows.jsonl")
    code, _, err = baft(*flags)
    assert code == 2
    assert "rows.jsonl, line 2: the requirements hold meta, but no requirement." in err
    assert baft(*flags, "--allow-invalid")[0] == 0
    code, out, _ = baft("data", "audit", "rows.jsonl", "--role", "product_owner", "--json")
    said = json.dumps(json.loads(out))
    assert "product_vision is not YAML" in said
    assert "but no requirement" in said


def test_score_looks_up_what_was_answered_and_says_where_it_cannot(project, baft):
    """The alignment of a review with its requirements needs the requirements."""
    row = owner_row()
    role = PLUGINS.role("product_owner")
    example = role.example({**row, "id": "one"})
    line = {"id": "one", "output": role.target(example)}
    (project / "p.jsonl").write_text(json.dumps(line) + "\n")
    (project / "rows.jsonl").write_text(json.dumps({**row, "id": "one"}) + "\n")
    command = ("score", "--role", "product_owner", "--predictions", "p.jsonl", "--json")
    _, out, err = baft(*command)
    assert json.loads(out)["components"]["alignment"] == 0
    assert "1 lines do not say what they answer" in err
    code, out, err = baft(*command, "--dataset", "rows.jsonl")
    assert (code, json.loads(out)["score"], err) == (0, 1.0, "")
    (project / "p.jsonl").write_text(json.dumps({**line, "id": "two"}) + "\n")
    code, _, err = baft(*command, "--dataset", "rows.jsonl")
    assert code == 2
    assert "p.jsonl, line 1: no example has id 'two'" in err
