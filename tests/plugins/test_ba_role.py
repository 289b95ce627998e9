"""The role ``ba``: datasets in, prompts and targets out, and what models really write read back."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import baft_ba
from baft import Example, Generation, Prediction, example_id
from baft_ba.metric import RequirementsMetric
from baft_ba.role import INSTRUCTION, OUTPUTS, BusinessAnalyst

ROLE = BusinessAnalyst()
METRIC = RequirementsMetric()
LISTS = {"functional_requirements": "FR", "non_functional_requirements": "NFR", "constraints": "C"}


def items(prefix: str) -> list[dict[str, Any]]:
    return [
        {"id": f"{prefix}001", "description": "Orders: taken by phone, too", "priority": "High"},
        {"id": f"{prefix}002", "description": "Señal, 20 % más rápida", "priority": "Low"},
    ]


DOC: dict[str, Any] = {
    "title": "Bakery orders",
    "description": "Customers order bread the evening before and pick it up: nobody queues, "
    "nothing is thrown away at closing time.",
    **{name: items(prefix) for name, prefix in LISTS.items()},
}
CONCEPT = "A bakery that takes orders"
EXAMPLE = ROLE.example({"concept": CONCEPT, "requirements": DOC})
YAML = ROLE.target(EXAMPLE)
JSON = json.dumps(DOC, indent=2)


def dump(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True)


def markers(**changed: str) -> str:
    texts = {name: v if isinstance(v, str) else dump(v) for name, v in DOC.items()} | changed
    sections = [f"[[ ## {name} ## ]]\n{text}\n" for name, text in texts.items()]
    return "\n".join([*sections, "[[ ## completed ## ]]\n"])


def parse(text: str, extraction: Any = "lenient", fields: Any = None) -> Prediction:
    return ROLE.parse(Generation(example_id="1", text=text, fields=fields), extraction)


def value(prediction: Prediction) -> float:
    return METRIC.score(EXAMPLE, prediction).value


def fence(text: str, info: str = "") -> str:
    return f"```{info}\n{text}\n```"


# --- what models write: all of it in both settings


@pytest.mark.parametrize(
    "text",
    [
        YAML,
        YAML + "\n",
        "\n\n" + YAML + "\n\n",
        "---\n" + YAML + "\n...\n",
        "# Requirements\n" + YAML,
        "  " + YAML.replace("\n", "\n  "),
        YAML.replace("\n", "\r\n"),
        "\ufeff" + YAML,
        YAML + "\nassumptions:\n- The oven works\n",
        "Sure! Here are the requirements:\n" + YAML,  # a key without a value, by chance
        dump(dict(reversed(DOC.items()))),
        yaml.safe_dump(DOC),
        yaml.safe_dump(DOC, default_flow_style=True),
        JSON,
        json.dumps(DOC),
        json.dumps(DOC, ensure_ascii=False, separators=(",", ":")),
        json.dumps(DOC, indent="\t"),
        dump({**DOC, **{name: dump(DOC[name]) for name in LISTS}}),
        json.dumps({**DOC, **{name: dump(DOC[name]) for name in LISTS}}),
        markers(),
        "Sure.\n\n" + markers(),
        markers() + "\n" + markers(title="Another document altogether"),
        markers().replace("[[ ## ", "[[##").replace(" ## ]]", "##]]"),
        markers().replace(" ## ]]\n", " ## ]] "),
        markers().removesuffix("[[ ## completed ## ]]\n"),
        markers(**{name: json.dumps(DOC[name]) for name in LISTS}),
    ],
)
def test_what_parses_as_it_stands_is_read_the_same_by_both_settings(text: str) -> None:
    strict, lenient = parse(text, "strict"), parse(text, "lenient")
    assert strict == lenient
    assert strict.validity == "as_is"
    assert strict.fields == DOC


# --- the document has to be found


PROSE = "Sure! Here are the requirements for your bakery."
BYE = "I hope this helps. Let me know if anything is missing!"


@pytest.mark.parametrize(
    "text",
    [
        fence(YAML),
        fence(YAML, "yaml"),
        fence(YAML, "yml"),
        fence(YAML, "YAML"),
        fence(YAML, " yaml"),
        fence(YAML, "yaml REQUIREMENTS"),
        fence("---\n" + YAML, "yaml"),
        fence(JSON, "json"),
        fence(JSON),
        fence(YAML).replace("```", "~~~"),
        fence(YAML).replace("```", "````"),
        "```yaml\n" + YAML,  # never closed
        f"{PROSE}\n\n{fence(YAML, 'yaml')}\n\n{BYE}",
        f"{PROSE}\n\n{fence(YAML, 'yaml')}\n\nNotes:\n- One: two: three\n- `code`",
        f"{PROSE}\n{fence(JSON, 'json')}\n{BYE}",
        "  " + fence(YAML, "yaml").replace("\n", "\n  "),
        fence("REQUIREMENTS\n" + YAML, "yaml"),
        fence(fence(YAML, "yaml"), "markdown"),
        f"{PROSE}\n\n{YAML}",
        f"{PROSE}\n\n{YAML}\n\n{BYE}",
        f"{YAML}\n\n{BYE}",
        f"{YAML}\n\n{BYE}\n- I assumed that the oven works\n- and the phone",
        f"{YAML}\n\n{BYE}\n- Security: use TLS\n- Budget: none",
        f"{YAML}\n\n**Note:** adapt as needed.\n",
        f"{YAML}\n---\n{BYE}",
        f"{YAML}\n```",
        f"yaml\n{YAML}",
        f"yaml REQUIREMENTS\n{YAML}",
        f"REQUIREMENTS:\n\n{YAML}\n{BYE}",
        f"## Answer\n{PROSE}\n{YAML}",
        f"{PROSE}\n{JSON}\n{BYE}",
        f"{PROSE} {json.dumps(DOC)} {BYE}",
        f"{PROSE}\n{yaml.safe_dump(DOC, default_flow_style=True)}\n{BYE}",
        dump({"requirements": DOC}),
        json.dumps({"requirements": DOC}),
        fence(dump({"requirements": DOC}), "yaml"),
        f"{PROSE}\n{dump({'requirements': DOC})}\n{BYE}",
        f"{PROSE}\n{json.dumps({'result': DOC, 'notes': []})}",
        f"<think>\nThe title: a bakery. Should I:\n- ask?\n</think>\n\n{YAML}",
        f"<think>\ntitle: Draft\ndescription: short\n</think>\n\n{fence(YAML, 'yaml')}",
        # Several blocks: the fullest one
        f"{fence('title: Draft', 'yaml')}\n{fence(YAML, 'yaml')}",
        f"{fence('- id: FR001', 'yaml')}\n{fence(YAML, 'yaml')}\n{fence('pip install baft')}",
        f"{fence(YAML, 'yaml')}\n{fence(dump({**DOC, 'title': 'Another one'}), 'yaml')}",
        # Each field in a block of its own, labelled
        "\n".join(fence(dump({name: DOC[name]}), "yaml") for name in DOC),
        "\n".join(fence(v if isinstance(v, str) else dump(v), name) for name, v in DOC.items()),
        "\n".join(
            f"### {number}. {name.replace('_', ' ').title()}:\n\n"
            + fence(v if isinstance(v, str) else dump(v), "" if isinstance(v, str) else "yaml")
            for number, (name, v) in enumerate(DOC.items(), start=1)
        ),
        "\n".join(
            f"{name}: {json.dumps(v)}" if isinstance(v, str) else f"{name}:\n{fence(dump(v))}"
            for name, v in DOC.items()
        ),
        # A base model that goes on and on
        f"{YAML}\n\nConcept: A zoo: with tickets\n\ntitle: Zoo tickets\nconstraints:\n- id: [",
        # Fields of the DSPy format with something around their lists
        markers(**{name: fence(dump(DOC[name]), "yaml") for name in LISTS}),
        markers(**{name: "Here they are:\n" + dump(DOC[name]) for name in LISTS}),
        markers(constraints=dump(DOC["constraints"]) + "\nThat is all, good luck!"),
        markers(constraints=dump({"constraints": DOC["constraints"]})),
        markers(constraints=fence(dump({"constraints": DOC["constraints"]}), "yaml")),
        markers(constraints="The list: " + json.dumps(DOC["constraints"]) + " Done."),
        markers(constraints="constraints:\n\n" + fence(dump(DOC["constraints"]))),
        markers(constraints="yaml\n" + dump(DOC["constraints"])),
    ],
)
def test_lenient_finds_the_document_and_strict_does_not(text: str) -> None:
    found = parse(text)
    assert found.fields == DOC
    assert found.validity == "extracted"
    assert value(found) == METRIC.attainable_max
    assert value(parse(text, "strict")) < value(found)
    assert parse(text, "strict").validity != "as_is"


# --- nothing to be found, and nothing is mended


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n",
        "I cannot help with that.",
        "42",
        "null",
        "[]",
        "{}",
        "- a\n- b",
        "a: b\nc: d",
        dump(items("FR")),
        dump(items("FR")[0]),
        PROSE + "\n" + dump(items("FR")),
        fence(dump(items("FR")), "yaml"),
        "title: null\ndescription:\n",
        "The title: of the song\nis: unknown: yes",
        dump({"FR001": {"description": "d", "priority": "High"}}),
        "[" * 100_000,
        '{"a":' * 100_000,
        "```" * 5_000,
        "x" * 1_500_000,
        "[[ ## completed ## ]]",
        "[[ ## thoughts ## ]]\nhm",
        # Broken documents stay broken
        YAML.replace("Bakery orders", "Bakery: orders: now"),
        YAML.replace("title: Bakery", "title: 'Bakery"),
        YAML.replace("  priority: High", "\tpriority: High", 1),
        YAML.replace("- id: FR002", "oh, and one more\n- id: FR002"),
        YAML.replace("  priority: Low", "hm\n  priority: Low"),
        YAML.replace("constraints:", "And the constraints are below\nconstraints:"),
        fence(YAML.replace("Bakery orders", "Bakery: orders: now"), "yaml"),
        JSON[:-200],
        JSON.replace('"High"', '"High', 1),
        YAML + "\n- &a [*a]",
        "title: T\nconstraints: &a [*a]",
        "title: !!bool High",
        "title: T\nconstraints: 2024-13-45",
    ],
)
def test_no_document_is_no_field_and_no_exception(text: str) -> None:
    for extraction in ("strict", "lenient"):
        prediction = parse(text, extraction)
        assert prediction == Prediction(fields={}, validity="none"), extraction
        assert value(prediction) == 0.0


@pytest.mark.parametrize("extraction", ["strict", "lenient"])
def test_a_broken_dspy_list_costs_only_itself_and_keeps_its_text(extraction: Any) -> None:
    broken = "- id: C001: no\n  description: d"
    prediction = parse(markers(constraints=broken), extraction)
    assert prediction.fields == {**DOC, "constraints": broken}
    assert prediction.validity == "extracted"
    assert value(prediction) == 5.0 / 7


@pytest.mark.parametrize("extraction", ["strict", "lenient"])
def test_when_no_list_parses_the_format_is_not_valid(extraction: Any) -> None:
    prediction = parse(markers(**dict.fromkeys(LISTS, "a: b: c")), extraction)
    assert prediction.validity == "none"
    assert value(prediction) == 2.0 / 7


def test_strict_leaves_fences_on_dspy_lists() -> None:
    fenced = {name: fence(dump(DOC[name]), "yaml") for name in LISTS}
    prediction = parse(markers(**fenced), "strict")
    assert prediction.fields == {**DOC, **fenced}
    assert (prediction.validity, value(prediction)) == ("none", 2.0 / 7)


def test_a_broken_line_between_entries_of_a_dspy_list_is_not_cut_away() -> None:
    broken = dump(items("C")).replace("- id: C002", "and\n- id: C002").strip()
    assert parse(markers(constraints=broken)).fields["constraints"] == broken


@pytest.mark.parametrize("empty", ["[]", "[ ]\n", "```yaml\n[]\n```"])
def test_an_empty_list_as_text_stays_present(empty: str) -> None:
    prediction = parse("raw", "lenient", {**DOC, "constraints": empty})
    assert value(prediction) == (1 + 0.5 + 0.5 + 3.0 + 0.5) / 7


def test_some_fields_are_better_than_none() -> None:
    prediction = parse(YAML.partition("non_functional")[0])
    assert prediction.validity == "as_is"
    assert list(prediction.fields) == ["title", "description", "functional_requirements"]


def test_a_list_that_is_a_mapping_in_the_document_is_no_list() -> None:
    data = {**DOC, "constraints": {"C001": "Cheap"}}
    for text in (dump(data), json.dumps(data), markers(constraints="C001: Cheap\n")):
        assert parse(text).validity == "extracted"
        assert value(parse(text)) == 5.0 / 7


def test_one_field_in_prose_is_not_a_document() -> None:
    assert parse("We thought of this\ntitle: Bakery\nWhat do you think?").fields == {}


# --- fields


@pytest.mark.parametrize("extraction", ["strict", "lenient"])
def test_a_replayed_object_is_the_prediction_untouched(extraction: Any) -> None:
    fenced = fence(dump(DOC["constraints"]), "yaml")
    fields = {**DOC, "constraints": fenced, "functional_requirements": dump(items("FR")), "x": 1}
    prediction = parse("", extraction, fields)
    assert prediction.fields == fields
    assert prediction.validity == "extracted"
    assert value(prediction) == 5.0 / 7


@pytest.mark.parametrize(
    ("fields", "validity"),
    [
        (DOC, "as_is"),
        ({name: v if isinstance(v, str) else dump(v) for name, v in DOC.items()}, "as_is"),
        ({"title": "T"}, "as_is"),
        ({"title": "T", "constraints": []}, "as_is"),
        ({"title": "T", "constraints": "[]"}, "as_is"),
        ({"title": "T", "constraints": None}, "as_is"),
        ({"title": "T", "constraints": "a: b: c"}, "none"),
        ({"title": "T", "constraints": 7}, "none"),
        ({"title": "T", "constraints": "text", "functional_requirements": [1]}, "extracted"),
        ({}, "none"),
        ({"x": 1}, "none"),
        ({"meta": {"original_request": "r"}}, "none"),
    ],
)
def test_validity_of_replayed_objects(fields: dict[str, Any], validity: str) -> None:
    for extraction in ("strict", "lenient"):
        assert parse("", extraction, fields).validity == validity


def test_dspy_fields_give_the_prediction_of_the_document() -> None:
    fields = {name: v if isinstance(v, str) else dump(v) for name, v in DOC.items()}
    for extraction in ("strict", "lenient"):
        assert parse("raw", extraction, fields) == parse(YAML, extraction)
        assert parse("raw", extraction, DOC) == parse(YAML, extraction)


def test_dspy_fields_lose_their_fences_in_lenient_only() -> None:
    fields = {name: v if isinstance(v, str) else fence(dump(v)) for name, v in DOC.items()}
    assert parse("raw", "strict", fields).fields == fields
    assert parse("raw", "lenient", fields) == Prediction(fields=DOC, validity="extracted")


# --- properties


words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=30)
entry = st.fixed_dictionaries({"id": words, "description": words, "priority": words})
document = st.fixed_dictionaries(
    {"title": words.filter(bool), "description": words.filter(bool)},
    optional=dict.fromkeys(LISTS, st.lists(entry, min_size=1, max_size=3)),
)


@settings(deadline=None, max_examples=150)
@given(document, st.sampled_from(["", "yaml", "json", "yaml REQUIREMENTS"]))
def test_any_document_survives_target_and_fences(doc: dict[str, Any], info: str) -> None:
    example = ROLE.example({"concept": CONCEPT, "requirements": doc})
    target = ROLE.target(example)
    assert parse(target, "strict") == Prediction(fields=doc, validity="as_is")
    assert parse(fence(target, info)) == Prediction(fields=doc, validity="extracted")
    assert parse(f"{PROSE}\n\n{fence(target, info)}\n\n{BYE}").fields == doc


pieces = st.sampled_from(
    [
        *(*YAML.splitlines(), *JSON.splitlines(), *markers().splitlines()),
        *("```", "```yaml", "---", PROSE, BYE, "{", "}", "[", "]", "</think>", "requirements:"),
    ]
)


@settings(deadline=None, max_examples=300)
@given(st.lists(pieces | words, max_size=12).map("\n".join))
def test_any_text_is_read_without_an_exception_and_the_same_where_as_is(text: str) -> None:
    strict, lenient = parse(text, "strict"), parse(text, "lenient")
    assert lenient.fields.keys() <= {field.name for field in OUTPUTS}
    if "as_is" in (strict.validity, lenient.validity):
        assert strict == lenient


# --- datasets


def test_a_clean_row() -> None:
    row = {"concept": CONCEPT, "requirements": DOC, "tier": "simple", "score": 0.5}
    example = ROLE.example(row)
    assert example.id == example_id({"concept": CONCEPT})
    assert example.inputs == {"concept": CONCEPT}
    assert example.reference == DOC
    assert example.tags == {"tier": "simple", "score": 0.5}


def test_lists_may_be_yaml_text() -> None:
    texts = {**DOC, **{name: dump(DOC[name]) for name in LISTS}}
    assert ROLE.example({"concept": CONCEPT, "requirements": texts}).reference == DOC


def test_a_normalized_row_is_read() -> None:
    row = {"input": {"concept": CONCEPT, "requirements_yaml": YAML, "tier": "x"}, "score": 1}
    example = ROLE.example(row)
    assert example.reference == DOC
    assert example.inputs == {"concept": CONCEPT}
    assert example.tags == {"tier": "x", "score": 1}


@pytest.mark.parametrize(("given_id", "expected"), [("a-1", "a-1"), (7, "7")])
def test_an_id_is_taken(given_id: Any, expected: str) -> None:
    assert ROLE.example({"id": given_id, "concept": CONCEPT}).id == expected


@pytest.mark.parametrize("row", [{"concept": CONCEPT}, {"concept": CONCEPT, "requirements": None}])
def test_a_row_without_requirements_has_no_reference(row: dict[str, Any]) -> None:
    example = ROLE.example(row)
    assert example.reference is None
    with pytest.raises(ValueError, match="no requirements to learn from"):
        ROLE.target(example)


def test_other_keys_of_the_requirements_are_kept_as_a_tag() -> None:
    row = {"concept": CONCEPT, "requirements": {**DOC, "meta": {"by": "hand"}}}
    assert ROLE.example(row).tags == {"requirements": {"meta": {"by": "hand"}}}


def broken(**change: Any) -> dict[str, Any]:
    return {"concept": CONCEPT, "requirements": {**DOC, **change}}


META = {"meta": {"original_request": CONCEPT}}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({}, "the concept is missing"),
        ({"requirements": DOC}, "the concept is missing"),
        ({"concept": None}, "the concept is missing"),
        ({"concept": 7}, "the concept is a int, not text"),
        ({"concept": ["a"]}, "the concept is a list, not text"),
        ({"concept": "  "}, "the concept is empty"),
        ({"concept": CONCEPT, "id": ""}, "the id is empty"),
        ({"concept": CONCEPT, "id": True}, "the id is a boolean, not text"),
        ({"concept": CONCEPT, "id": {}}, "the id is a mapping, not text"),
        ({"concept": CONCEPT, "requirements": "text"}, "requirements is text, not a mapping"),
        ({"concept": CONCEPT, "requirements": []}, "requirements is a list, not a mapping"),
        ({"concept": CONCEPT, "requirements": {}}, "requirements holds nothing, but none"),
        ({"concept": CONCEPT, "requirements": META}, "requirements holds meta, but none"),
        (
            {"input": {"concept": CONCEPT}, "requirements_yaml": dump(META)},
            "requirements holds meta, but none",
        ),
        ({"input": CONCEPT}, "input is text, not a mapping"),
        ({"input": {}}, "the concept is missing"),
        (
            {"input": {"concept": CONCEPT, "requirements_yaml": "a: b: c"}},
            r"requirements_yaml is not YAML: mapping values are not allowed .*\(line 1\)",
        ),
        (
            {"input": {"concept": CONCEPT, "requirements_yaml": {}}},
            "requirements_yaml is a mapping, not text",
        ),
        (
            {"input": {"concept": CONCEPT, "requirements_yaml": "just text"}},
            "requirements is text, not a mapping",
        ),
        (broken(title=7), "title is a int, not text"),
        (broken(description=None), "description is null, not text"),
        (broken(constraints=None), "constraints is null, not a list"),
        (broken(constraints={}), "constraints is a mapping, not a list"),
        (broken(constraints="a: b"), "constraints is a mapping, not a list"),
        (broken(constraints="- a: b: c"), "constraints is not YAML"),
        (broken(constraints="- !!bool High"), "constraints is not YAML: .* KeyError"),
        (broken(constraints="[" * 500), "constraints is not YAML: .* deep"),
        (broken(constraints=["a"]), "item 1 of constraints is text, not a mapping"),
        (
            broken(constraints=[*items("C"), None]),
            "item 3 of constraints is null, not a mapping",
        ),
    ],
)
def test_a_wrong_row_says_what_is_wrong(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        ROLE.example(row)


# --- prompt and target


def test_the_prompt_is_one_user_message_that_ends_with_the_concept() -> None:
    prompt = ROLE.prompt(EXAMPLE)
    (message,) = prompt.messages
    assert message.role == "user"
    assert message.content == f"{INSTRUCTION}\n\nConcept: {CONCEPT}"
    assert (prompt.example_id, prompt.inputs) == (EXAMPLE.id, EXAMPLE.inputs)


def test_the_target_is_the_document_to_the_letter() -> None:
    shuffled = {
        "constraints": [{"priority": "Low", "id": "C001", "note": "x", "description": "a: b"}],
        "description": "Señal " * 40,
        "title": "Yes",
    }
    example = ROLE.example({"concept": CONCEPT, "requirements": shuffled})
    assert ROLE.target(example) == (
        "title: 'Yes'\n"
        f"description: '{'Señal ' * 40}'\n"
        "constraints:\n"
        "- id: C001\n"
        "  description: 'a: b'\n"
        "  priority: Low"
    )


def test_the_target_scores_the_most_and_needs_no_extraction() -> None:
    prediction = parse(ROLE.target(EXAMPLE), "strict")
    assert (prediction.validity, value(prediction)) == ("as_is", METRIC.attainable_max)


def test_equal_items_are_written_out_twice() -> None:
    item = items("C")[0]
    example = Example(id="1", inputs={"concept": CONCEPT}, reference={"constraints": [item, item]})
    assert "&" not in ROLE.target(example)


# --- the plugin


def test_the_plugin_offers_the_role_and_its_metric() -> None:
    offered: dict[str, Any] = {}
    baft_ba.baft_register_roles(offered.__setitem__)
    baft_ba.baft_register_metrics(offered.__setitem__)
    assert list(offered) == ["ba", "ba_requirements"]
    role, metric = offered["ba"](), offered["ba_requirements"]()
    assert (role.name, role.metric, role.answer_label) == ("ba", metric.name, "yaml REQUIREMENTS")
    assert [field.name for field in role.outputs] == ["title", "description", *LISTS]
    assert inspect.getdoc(type(role)) is not None


def test_registering_loads_neither_yaml_nor_the_role() -> None:
    code = (
        "import sys, baft_ba; print([m for m in sys.modules if m.startswith(('yaml', 'baft_ba.'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
