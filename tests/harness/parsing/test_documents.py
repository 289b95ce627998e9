"""Answers made of labelled documents, and the rows of the roles that give them."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from baft import Generation
from baft.loader import load_plugins
from pipeline_rows import (
    ARCHITECTURE,
    CONCEPT,
    EPICS,
    REQUIREMENTS,
    REVIEW,
    STORIES,
    VISION,
    architect_row,
    owner_row,
)

PLUGINS = load_plugins()
OWNER = PLUGINS.role("product_owner")
ARCHITECT = PLUGINS.role("architect")
ASKED = f"```yaml VISION\n{VISION}```\n```yaml REVIEW\n{REVIEW}```"
PLAN = f"```yaml STORIES\n{STORIES}```\n```yaml EPICS\n{EPICS}```\n```yaml ARCHITECTURE\n"
PLAN += f"{ARCHITECTURE}```"


def read(text, extraction="lenient", role=OWNER, fields=None):
    answer = Generation(example_id="e", text=text, fields=fields)
    found = role.parse(answer, extraction)
    loaded = {
        name: yaml.safe_load(value) if found.validity != "none" else value
        for name, value in found.fields.items()
    }
    return found.validity, loaded


BOTH = {
    "product_vision": yaml.safe_load(VISION),
    "product_owner_review": yaml.safe_load(REVIEW),
}
ALL = {
    "stories_yaml": yaml.safe_load(STORIES),
    "epics_yaml": yaml.safe_load(EPICS),
    "architecture_yaml": yaml.safe_load(ARCHITECTURE),
}


@pytest.mark.parametrize("extraction", ["strict", "lenient"])
def test_what_was_asked_for_is_read_as_it_stands(extraction):
    assert read(ASKED, extraction) == ("as_is", BOTH)
    assert read(ASKED.replace("```\n```", "```\n\n```") + "\n", extraction) == ("as_is", BOTH)
    assert read(PLAN, extraction, ARCHITECT) == ("as_is", ALL)


@pytest.mark.parametrize(
    "text",
    [
        f"Here you are:\n\n{ASKED}\n\nTell me if you need more.",
        f"<think>```yaml VISION\na: 1\n```</think>{ASKED}",
        ASKED.replace("yaml VISION", "yaml").replace("yaml REVIEW", "yaml"),
        ASKED.replace("```yaml VISION", "### Product Vision\n\n```yaml"),
        ASKED.replace("yaml VISION", "YAML Vision:"),
        ASKED.removesuffix("```"),
        f"```yaml REVIEW\n{REVIEW}```\n```yaml VISION\n{VISION}```",
        f"```yaml VISION\n(the vision follows)\n```\n{ASKED}",
        f"{VISION}---\n{REVIEW}".replace("---", "And the review is this.\n"),
        f"```yaml VISION\nHere it is.\n\n{VISION}```\n```yaml REVIEW\n{REVIEW}```",
        json.dumps(BOTH),
        f"```json\n{json.dumps(BOTH)}\n```",
        yaml.safe_dump({"vision": BOTH["product_vision"], "review": REVIEW}, sort_keys=False),
    ],
)
def test_lenient_takes_away_what_is_not_the_documents_and_strict_nothing(text):
    assert read(text) == ("extracted", BOTH)
    assert read(text, "strict")[0] == "none"


@pytest.mark.parametrize(
    "text",
    [
        PLAN.replace("yaml STORIES", "yaml").replace("yaml EPICS", "yaml"),
        f"1. Stories:\n```\n{STORIES}```\n2. Epics:\n```\n{EPICS}```\nArchitecture\n```\n"
        f"{ARCHITECTURE}```",
        f"{PLAN}\n```yaml PRD\noverview: x\n```\n```csv TASKS\nS1,T1\n```",
        json.dumps({"stories": ALL["stories_yaml"], "epics": EPICS, "architecture": ARCHITECTURE}),
    ],
)
def test_stories_are_not_taken_for_epics(text):
    assert read(text, role=ARCHITECT) == ("extracted", ALL)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", set()),
        ("I cannot do that.", set()),
        (f"```yaml VISION\n{VISION}```", {"product_vision"}),
        (f"```yaml VISION\n{VISION}```\n```yaml REVIEW\nI agree.\n```", {"product_vision"}),
        (ASKED.replace("status: ", "status: a: b: "), {"product_vision", "product_owner_review"}),
    ],
)
def test_an_answer_that_lacks_a_document_is_not_valid(text, names):
    validity, found = read(text)
    assert (validity, set(found)) == ("none", names)


def test_fields_of_dspy_are_read_one_by_one():
    plain = {"product_vision": VISION, "product_owner_review": REVIEW}
    assert read("x", fields=plain) == ("as_is", BOTH)
    fenced = {name: f"```yaml\n{text}```" for name, text in plain.items()}
    assert read("x", fields=fenced) == ("extracted", BOTH)
    answer = Generation(example_id="e", text="x", fields=fenced)
    assert OWNER.parse(answer, "strict").fields == fenced  # the metric removes such fences itself
    marked = f"[[ ## product_vision ## ]]\n{VISION}\n[[ ## product_owner_review ## ]]\n{REVIEW}"
    assert read(marked, "strict") == ("as_is", BOTH)


def test_a_replayed_object_is_the_prediction_untouched():
    given = {"product_vision": ["no text"], "more": 1}
    found = OWNER.parse(Generation(example_id="e", text="", fields=given), "lenient")
    assert (found.fields, found.validity) == (given, "none")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([*ASKED.splitlines(), "```", "---", "prose", "{", "- [", " x: y"])))
@example(ASKED.splitlines())
def test_what_parses_as_it_stands_is_the_same_under_both_settings(lines):
    answer = Generation(example_id="e", text="\n".join(lines))
    strict, lenient = OWNER.parse(answer, "strict"), OWNER.parse(answer, "lenient")
    if "as_is" in (strict.validity, lenient.validity):
        assert strict == lenient


NESTED = {**yaml.safe_load(REQUIREMENTS), "constraints": "- {id: C001, description: none}"}
PROMPT = f"Do it.\n\nCONCEPT:\n{CONCEPT}\n\nREQUIREMENTS:\n{REQUIREMENTS}\n\nRespond only with it."
TOLD = {"concept": CONCEPT, "requirements_yaml": REQUIREMENTS}
TAUGHT = {"teacher_product_vision": VISION, "teacher_product_owner_review": REVIEW}


@pytest.mark.parametrize(
    "row",
    [
        owner_row(),
        {**TOLD, "product_vision": VISION, "product_owner_review": REVIEW},
        {**TOLD, **TAUGHT, "score": 0.9},
        {"prompt": PROMPT, "response": ASKED},
        {"input": {"concept": CONCEPT, "requirements": NESTED}, "output": BOTH},
        {"concept": f"{CONCEPT}\n\nEXISTING_VISION:\n(none)\n\nREQUIREMENTS:\n{REQUIREMENTS}"},
    ],
)
def test_every_shape_of_a_row_is_read(row):
    found = OWNER.example(row)
    assert found.inputs["concept"] == CONCEPT
    assert found.inputs["existing_vision"] == ""
    told = yaml.safe_load(found.inputs["requirements_yaml"])
    assert [item["id"] for item in told["constraints"]] == ["C001"]
    if len(row) > 1:
        assert {name: yaml.safe_load(text) for name, text in found.reference.items()} == BOTH


def test_a_prompt_is_told_again_as_its_own_row():
    for role, row in ((OWNER, owner_row()), (ARCHITECT, architect_row())):
        one = role.example(row)
        again = role.example({"prompt": role.prompt(one).messages[0].content})
        assert {k: v.strip() for k, v in again.inputs.items()} == {
            k: v.strip() for k, v in one.inputs.items()
        }


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"requirements_yaml": None}, "the requirements are missing"),
        ({"requirements_yaml": "meta: {}"}, "the requirements hold meta, but no requirement"),
        ({"requirements_yaml": "a: b: c"}, "requirements_yaml is not YAML"),
        ({"requirements_yaml": "- a"}, "requirements is a list, not a mapping"),
        ({"concept": " "}, "the concept is empty"),
        ({"existing_vision": 7}, "the existing_vision is a int"),
        ({"product_vision": VISION}, "the outputs lack product_owner_review"),
        ({**BOTH, "product_vision": "a text"}, "product_vision is text, not a mapping"),
        ({**BOTH, "product_vision": 'a: "\n  ```\n  "\nb: 1'}, "product_vision holds a code fence"),
        ({"input": "x"}, "input is text, not a mapping"),
        ({"id": []}, "the id is a list"),
    ],
)
def test_a_dirty_row_says_what_is_wrong(changes, why):
    with pytest.raises(ValueError, match=why):
        OWNER.example({**TOLD, **changes})


def test_fences_around_documents_are_repaired():
    fenced = {name: f"```yaml\n{text}```" for name, text in TAUGHT.items()}
    row = {"input": {**TOLD, "requirements_yaml": f"```\n{REQUIREMENTS}```"}, **fenced}
    fixed = OWNER.fix(row)
    assert OWNER.example(fixed).reference is not None
    assert OWNER.fix(fixed) == fixed
    with pytest.raises(ValueError, match="not YAML"):
        OWNER.example(row)


def test_the_id_of_the_pipeline_is_kept_and_a_tier_defaults_to_medium():
    told = {**TOLD, "concept_id": "POCON-0001"}
    assert OWNER.example({"input": told}).id == "POCON-0001"
    assert ARCHITECT.example(TOLD).inputs["complexity_tier"] == "medium"
