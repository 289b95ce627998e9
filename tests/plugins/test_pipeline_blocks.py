"""What architect and developer write for the pipeline, read as its legacy scripts read it."""

from __future__ import annotations

import csv
import json
import re
import textwrap

import pytest
import yaml

from baft import PipelineWriter, Prediction
from baft.loader import load_plugins
from baft.serving import pipeline_answer
from pipeline_rows import architect_row

PLUGINS = load_plugins()


def grab(text, tag, label):
    """A block, as ``scripts/run_architect.py`` finds it."""
    found = re.search(rf"```{tag}\s*{label}\s*\n([\s\S]+?)\n```", text, re.MULTILINE)
    return found.group(1).strip() if found else ""


def first_file(text):
    """The file that ``scripts/run_dev.py`` writes: JSON as a whole, else the first object in it."""
    inner = re.sub(r"^```\w*\s*\n", "", text.strip(), flags=re.MULTILINE)
    inner = re.sub(r"\n```\s*$", "", inner).strip()
    for candidate in (inner, *re.findall(r"(\{[\s\S]*?\})", inner)):
        try:
            found = json.loads(candidate)
        except ValueError:
            continue
        if isinstance(found, dict) and {"path", "code"} <= {*found}:
            return found
    return None


def planned(**changes):
    role = PLUGINS.role("architect")
    reference = role.example(architect_row()).reference
    fields = {name: text for name, text in {**reference, **changes}.items() if text is not None}
    return reference, pipeline_answer(role, Prediction(fields=fields, validity="as_is"))


def test_the_architects_reader_finds_all_five_blocks():
    reference, text = planned()
    for name, label in (
        ("stories_yaml", "STORIES"),
        ("epics_yaml", "EPICS"),
        ("architecture_yaml", "ARCHITECTURE"),
    ):
        assert yaml.safe_load(grab(text, "yaml", label)) == yaml.safe_load(reference[name])
    epics = yaml.safe_load(reference["epics_yaml"])
    features = yaml.safe_load(grab(text, "yaml", "PRD"))["features"]
    assert [one["name"] for one in features] == [epic["name"] for epic in epics]
    tasks = list(csv.DictReader(grab(text, "csv", "TASKS").splitlines()))
    stories = yaml.safe_load(reference["stories_yaml"])
    assert [row["story_id"] for row in tasks] == [story["id"] for story in stories]
    assert {row["status"] for row in tasks} == {"todo"}
    assert [row["description"] for row in tasks] == [story["title"] for story in stories]


def test_a_task_with_commas_quotes_and_lines_stays_one_row():
    story = {"id": "S1", "title": 'Pay, "later"\nor now'}
    for stories in ([story], {"stories": [story, "no story"]}):
        _, text = planned(stories_yaml=yaml.safe_dump(stories))
        (row,) = csv.DictReader(grab(text, "csv", "TASKS").splitlines())
        assert (row["story_id"], row["description"]) == ("S1", 'Pay, "later" or now')


@pytest.mark.parametrize("epics", [None, "a: [", "[]", "just text"])
def test_nothing_is_made_up_where_the_epics_cannot_be_read(epics):
    _, text = planned(epics_yaml=epics)
    assert grab(text, "yaml", "PRD") == ""
    assert grab(text, "csv", "TASKS")


def test_an_architect_is_told_the_tier_as_in_the_evaluation():
    told = architect_row()["input"]
    sent = (
        f"CONCEPT:\n{told['concept']}\n\nREQUIREMENTS:\n{told['requirements_yaml']}\n\n"
        "COMPLEXITY_TIER: SIMPLE\n\nFollow the exact output format."
    )
    role = PLUGINS.role("architect")
    (asked,) = role.prompt(role.example({"concept": sent})).messages
    (evaluated,) = role.prompt(role.example({**told, "product_vision": ""})).messages
    assert asked.content == evaluated.content


def test_a_question_without_a_concept_is_refused_at_once():
    role = PLUGINS.role("architect")
    asked = f"REQUIREMENTS:\n{architect_row()['input']['requirements_yaml']}\n\nOne word."
    with pytest.raises(ValueError, match="the concept is empty"):
        role.example({"concept": asked})


def test_the_stages_write_their_own_documents_only():
    assert isinstance(PLUGINS.role("architect"), PipelineWriter)
    assert not isinstance(PLUGINS.role("architect_stories"), PipelineWriter)


def test_the_developers_reader_finds_the_code_before_its_tests():
    files = [
        {"path": "tests/test_cart.py", "content": "def test_x(): ..."},
        {"path": "app/cart.py", "content": 'NAME = "a {b} ```c```"\n'},
    ]
    role = PLUGINS.role("dev")
    text = pipeline_answer(role, Prediction(fields={"code_files": files}, validity="as_is"))
    assert first_file(text) == {"path": "app/cart.py", "code": 'NAME = "a {b} ```c```"\n'}
    both = json.loads(grab(text, "json", "FILES"))
    assert [one["path"] for one in both] == ["app/cart.py", "tests/test_cart.py"]


def test_files_that_lead_out_of_the_project_are_not_handed_on():
    files = [{"path": "../.bashrc", "content": "x"}, {"path": "a.py", "content": "x = 1\n"}]
    role = PLUGINS.role("dev")
    text = pipeline_answer(role, Prediction(fields={"code_files": files}, validity="extracted"))
    assert "bashrc" not in text


@pytest.mark.parametrize("dedent", [True, False])
def test_a_developer_is_told_what_the_pipeline_tells(dedent):
    story = "id: S1\ntitle: A cart\nacceptance:\n- adds up"
    sent = (
        f"        STORY (YAML):\n        ```yaml\n        {story}\n\n        ```\n\n"
        "        REPO TREE (first lines):\n        ```\n        project/app/a.py\nproject/b.py\n"
        "        ```\n"
    )
    sent = textwrap.dedent(sent) if dedent else sent
    inputs = PLUGINS.role("dev").example({"story": sent.strip()}).inputs
    assert inputs["story"] == story
    assert inputs["architecture"] == "Files so far:\nproject/app/a.py\nproject/b.py"


def test_a_story_that_only_begins_so_stays_as_it_is():
    text = "STORY (YAML):\n```yaml\nid: S1"
    assert PLUGINS.role("dev").example({"story": text}).inputs["story"] == text
