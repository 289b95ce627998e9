"""The model in service answers, for a person and for the pipeline."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from baft import BackendError, DataError, Prediction, UsageError
from baft.loader import load_plugins
from baft.promotion import promote
from baft.serving import ask, pipeline_answer, pipeline_request
from baft.serving.pipeline import concept_of
from harness.promotion.conftest import ACTOR, ANSWER, Analyst

READER = re.compile(r"```yaml\s+REQUIREMENTS\s*\n([\s\S]*?)```")
"""A reader of labelled blocks, as legacy consumers of such answers have it."""


@pytest.fixture
def answer(plugins, config):
    def answer(text="A shop", role="ba", **changes):
        given = {"config": config, "role": role, "text": text, "env": {}, "options": {}}
        return ask(plugins, **{**given, **changes})

    return answer


def test_the_model_in_service_answers_with_its_settings(answer):
    found = answer()

    assert found.spec == "ollama:granite4"
    assert found.generation.text == ANSWER
    assert found.prediction.fields["title"] == "A shop"


def test_after_a_promotion_the_winner_answers(
    answer, plugins, project, config, make_model, make_run
):
    run = make_run(f"lora:{make_model(answer='title: Tuned')}")
    promote(plugins, run=run, config=config, project=project, by=ACTOR, env={})

    assert answer().prediction.fields == {"title": "Tuned"}


@pytest.mark.parametrize(
    ("role", "text", "message"),
    [
        ("ba", "", "concept is missing"),
        ("bq", "x", "There is no role named 'bq'"),
    ],
)
def test_what_cannot_be_asked_says_why(answer, role, text, message):
    with pytest.raises(UsageError, match=message):
        answer(text, role)


def test_a_provider_that_baft_cannot_open_says_so(answer, config):
    config.write_text("roles: {ba: {provider: vertex_sdk, model: g}}")

    with pytest.raises(UsageError, match="cannot open the provider 'vertex_sdk'"):
        answer()


def test_settings_out_of_range_are_named(answer, config):
    config.write_text(config.read_text().replace("max_tokens: 8192", "max_tokens: 0"))

    with pytest.raises(UsageError, match="max_tokens must be at least 1"):
        answer()


def test_a_model_that_is_down_is_a_backend_error(answer, config, make_model):
    make_model(answer="DOWN")
    model = "{provider: huggingface_local, model: artifacts/models/ba_lora}"
    config.write_text(f"roles: {{ba: {model}}}")

    with pytest.raises(BackendError, match="is down"):
        answer()


FRAME = "\n\nFollow the exact output format."


@pytest.mark.parametrize(
    ("user", "concept"),
    [
        (f"CONCEPT:\nA shop for tea.{FRAME}", "A shop for tea."),
        (f"CONCEPT: A shop{FRAME}\n", "A shop"),
        (f"concept:\r\nA shop{FRAME}".replace("\n", "\r\n"), "A shop"),
        (f"CONCEPT:\nTwo\n\nparagraphs{FRAME}", "Two\n\nparagraphs"),
        ("CONCEPT:\nWe follow the exact output format. Always", None),
        ("Write.\n\nCONCEPT:\nA shop\n\nFollow the exact output format", "Write.|A shop"),
        ("A shop for tea.", "A shop for tea."),
        (f"A shop{FRAME}", "A shop"),
        (f"CONCEPT:\n{FRAME}", ""),
        ("", ""),
    ],
)
def test_the_concept_is_taken_out_of_the_frame(user, concept):
    expected = "We follow the exact output format. Always" if concept is None else concept

    assert concept_of(user) == expected.split("|")[-1]


def test_the_pipelines_request_is_read():
    sent = {
        "system": "You are …",
        "user": f"CONCEPT:\nA shop{FRAME}",
        "model": "m",
        "temperature": 0.7,
        "max_tokens": 2048,
        "prompt": "System: …",
    }

    found = pipeline_request(json.dumps(sent))

    assert (found.text, found.temperature, found.max_tokens) == ("A shop", 0.7, 2048)


def test_a_request_may_leave_the_settings_out():
    found = pipeline_request('{"user": "CONCEPT: A", "temperature": null}')

    assert (found.temperature, found.max_tokens) == (None, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON"),
        ("CONCEPT: a", "not valid JSON"),
        ("[1]", "not a JSON object"),
        ("{}", "asks nothing"),
        ('{"user": "CONCEPT:\\n"}', "asks nothing"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_a_request_that_cannot_be_read_says_so(text, message):
    with pytest.raises(DataError, match=message):
        pipeline_request(text)


def block(fields, validity="extracted"):
    return pipeline_answer(Analyst(), Prediction(fields=fields, validity=validity))


def read(text):
    return yaml.safe_load(READER.search(text).group(1))


def test_the_answer_is_one_block_with_the_roles_label():
    text = block({"needs": [{"id": "FR001"}], "title": "A shop: ünïcode", "extra": 1})

    assert text.startswith("```yaml REQUIREMENTS\ntitle: ")
    assert text.endswith("```\n")
    assert read(text) == {"title": "A shop: ünïcode", "needs": [{"id": "FR001"}]}


def test_a_list_that_came_as_yaml_text_is_a_list_in_the_block():
    assert read(block({"needs": "- id: FR001\n- id: FR002"}))["needs"][1] == {"id": "FR002"}
    assert read(block({"needs": "no list"}))["needs"] == "no list"
    assert read(block({"needs": "a: [}"}))["needs"] == "a: [}"


def test_a_fence_inside_the_document_does_not_end_the_block():
    fields = {"title": "Use ```yaml\nx: 1\n``` here", "needs": []}

    assert read(block(fields)) == fields


def test_an_alias_bomb_stays_text():
    bomb = "".join(f"- &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))

    assert read(block({"needs": f"- &a0 [1]\n{bomb}"}))["needs"].startswith("- &a0")


def test_values_that_yaml_has_and_json_has_not_survive():
    found = read(block({"needs": "- {due: 2024-01-01, 1: .nan}"}))["needs"]

    assert found == [{"due": "2024-01-01", "1": "nan"}]


def test_no_document_is_an_error_and_not_an_empty_block():
    with pytest.raises(BackendError, match="holds no document"):
        block({}, "none")


def test_documents_with_labels_are_a_block_each_as_the_pipeline_grabs_them():
    role = load_plugins().role("product_owner")
    told = {
        "product_vision": "product_name: Bread\nlast_updated: 2025-03-01",
        "product_owner_review": 'status: aligned\nnarrative: "see ```x``` there"\n',
    }

    text = pipeline_answer(role, Prediction(fields=told, validity="extracted"))

    grabbed = [
        yaml.safe_load(re.search(rf"```yaml\s*{label}\s*\n([\s\S]+?)\n```", text)[1])
        for label in ("VISION", "REVIEW")
    ]
    assert grabbed == [yaml.safe_load(one) for one in told.values()]


def test_files_are_json_and_markdown_is_text_as_their_labels_say():
    files = [{"path": "app/cart.py", "content": "x = {}  # ```"}]
    text = pipeline_answer(
        load_plugins().role("dev"), Prediction(fields={"code_files": files}, validity="as_is")
    )
    head, *body, tail = text.splitlines()
    assert (head, tail) == ("```json FILES", "```")
    assert json.loads("\n".join(body)) == [{"path": "app/cart.py", "code": "x = {}  # ```"}]

    cases = "## Happy Path\n1. Type:\n```\nlogin\n```\nExpected: a page\n"
    text = pipeline_answer(
        load_plugins().role("qa"), Prediction(fields={"test_cases_md": cases}, validity="as_is")
    )
    assert text == f"````markdown TEST_CASES\n{cases}````\n"


def test_a_fence_in_a_document_that_does_not_parse_is_an_error():
    role = load_plugins().role("product_owner")
    told = {"product_vision": "a: [```", "product_owner_review": "status: aligned"}

    with pytest.raises(BackendError, match="holds no document"):
        pipeline_answer(role, Prediction(fields=told, validity="extracted"))


def test_a_product_owner_is_told_all_that_the_pipeline_tells():
    user = (
        "CONCEPT:\nA shop\n\nEXISTING_VISION:\n(no existing vision)\n\nREQUIREMENTS:\n"
        "functional_requirements:\n- {id: FR1, description: sell}\n\n"
        "Follow the exact output format."
    )
    asked = pipeline_request(json.dumps({"user": user})).text

    found = load_plugins().role("product_owner").example({"concept": asked}).inputs

    assert found == {
        "concept": "A shop",
        "requirements_yaml": "functional_requirements:\n- {id: FR1, description: sell}",
        "existing_vision": "",
    }


@pytest.mark.parametrize("setting", [True, "0.1", None, [], {}])
def test_settings_that_are_no_numbers_are_left_to_the_configuration(setting):
    request = {"user": "CONCEPT: A", "temperature": setting, "max_tokens": setting}
    found = pipeline_request(json.dumps(request))

    assert (found.temperature, found.max_tokens) == (None, None)


def test_settings_without_end_are_left_to_the_configuration():
    found = pipeline_request('{"user": "A", "temperature": NaN, "max_tokens": Infinity}')

    assert (found.temperature, found.max_tokens) == (None, None)
