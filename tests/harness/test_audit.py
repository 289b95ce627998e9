"""Answers that know nothing of their example are found; honest ones pass."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
import yaml

from baft import Example, Prediction, Score
from baft.audit import Answer, audit_arm, near_pairs, selected_on, words_of
from baft.audit.leaks import shared
from baft.audit.nulls import template
from baft.audit.text import without_quotes
from baft.loader import load_plugins
from baft.store import read_dataset
from baft.store.lineage import Source

ROOT = Path(__file__).parents[2]

PRODUCTS = [
    "vineyard harvest planner", "dental clinic reminders", "ferry ticket kiosk",
    "library book scanner",
    "beehive weight sensor", "school canteen menu", "bicycle repair booking", "museum audio guide",
    "wind turbine inspection", "bakery pre-orders", "choir rehearsal calendar", "ski lift passes",
]  # fmt: skip


class Structure:
    """A metric that looks at structure alone, as the BA metric does."""

    name, version, higher_is_better, attainable_max = "structure", 1, True, 0.9
    components = {"all": 0.9}  # noqa: RUF012

    def score(self, example, prediction):
        return Score(value=0.9 if prediction.fields else 0.0)


def answers(texts):
    return [
        Answer(
            example=Example(id=str(i), inputs={"concept": p}, reference={"title": p}),
            prediction=Prediction(fields={"title": text}, validity="as_is"),
            score=0.9,
        )
        for i, (p, text) in enumerate(zip(PRODUCTS, texts, strict=True))
    ]


def failed(audit):
    return {finding.name for finding in audit.findings if not finding.passed}


def learnt_from(concepts, texts=None, use="trained", **given):
    texts = texts or [f"Something else about {c}" for c in concepts]
    examples = tuple(
        Example(id=f"t{i}", inputs={"concept": c}, reference={"title": t})
        for i, (c, t) in enumerate(zip(concepts, texts, strict=True))
    )
    return Source(**{"use": use, "name": "train.jsonl", "examples": examples, **given})


def honest(product):
    words = product.split()
    return f"The {product} lets people use the {words[-1]} of a {words[0]} and see {words[1]} data"


def test_honest_answers_pass():
    audit = audit_arm(answers([honest(p) for p in PRODUCTS]), Structure())
    assert audit.passed
    assert [(null.name, null.mean) for null in audit.nulls] == [
        ("empty", 0.0),
        ("constant", pytest.approx(0.9)),
        ("copy", pytest.approx(0.9)),
        ("shuffled", pytest.approx(0.9)),
    ]


def test_a_constant_template_fails_on_relevance_and_copies():
    audit = audit_arm(
        answers(["A generic platform for all users and all their needs"] * 12), Structure()
    )
    assert failed(audit) == {"relevance", "fit", "near_copies"}
    for finding in audit.findings:
        if not finding.passed:
            assert finding.examples
            assert all(e.text and e.other_text for e in finding.evidence)


def test_answers_dealt_to_the_wrong_examples_fail_on_relevance():
    texts = [honest(p) for p in PRODUCTS]
    assert failed(audit_arm(answers([*texts[1:], texts[0]]), Structure())) == {
        "relevance",
        "fit",
    }


def test_copies_of_training_answers_fail():
    texts = [honest(p) for p in PRODUCTS]
    audit = audit_arm(answers(texts), Structure(), [learnt_from(PRODUCTS[::-1], texts)])
    assert failed(audit) == {"training_copies"}


def test_too_few_answers_cannot_be_verified():
    few = answers([honest(p) for p in PRODUCTS])[:3]
    assert failed(audit_arm(few, Structure())) == {"relevance"}


def test_empty_answers_fail():
    assert "relevance" in failed(audit_arm(answers([""] * 12), Structure()))


def test_the_audit_is_reproducible():
    given = answers([honest(p) for p in PRODUCTS])
    assert audit_arm(given, Structure()) == audit_arm(given, Structure())


@pytest.fixture(scope="module")
def ba():
    plugins = load_plugins()
    return plugins.role("ba"), plugins.metric("ba_requirements")


@pytest.mark.parametrize(
    "path", ["artifacts/synthetic/ba_val_v2_fixed.jsonl", "benchmarks/audit_one_kind.jsonl"]
)
def test_honest_answers_about_similar_products_pass(ba, path):
    role, metric = ba
    examples = read_dataset(ROOT / path, role).examples
    assert len(examples) == 22
    audit = audit_arm(as_answered(examples, [e.reference for e in examples], metric), metric)
    assert audit.passed
    assert {null.name for null in audit.nulls if null.mean > 0.92} == {
        *("constant", "copy", "shuffled")
    }


def as_answered(examples, outputs, metric):
    predictions = [Prediction(fields=output, validity="as_is") for output in outputs]
    return [
        Answer(example=e, prediction=p, score=metric.score(e, p).value)
        for e, p in zip(examples, predictions, strict=True)
    ]


def test_a_template_with_title_and_concept_pasted_in_is_a_copy(ba):
    role, metric = ba
    examples = read_dataset(ROOT / "benchmarks" / "audit_one_kind.jsonl", role).examples
    form = examples[0].reference
    outputs = [
        {
            **form,
            "title": e.reference["title"],
            "description": f"{e.inputs['concept']} {form['description']}",
        }
        for e in examples
    ]
    assert failed(audit_arm(as_answered(examples, outputs, metric), metric)) == {"near_copies"}


def test_half_a_constant_does_not_hide_behind_honest_answers(ba):
    role, metric = ba
    examples = read_dataset(ROOT / "benchmarks" / "audit_one_kind.jsonl", role).examples
    outputs = [examples[0 if i % 2 else i].reference for i in range(22)]
    assert "near_copies" in failed(audit_arm(as_answered(examples, outputs, metric), metric))


def test_empty_answers_of_an_honest_arm_are_no_copies():
    texts = [honest(p) if i % 3 else "" for i, p in enumerate(PRODUCTS)]
    assert audit_arm(answers(texts), Structure()).passed


@pytest.mark.parametrize(
    ("scores", "passed"),
    [([0.9] * 12, True), ([0.5] * 12, False), ([0.0] * 12, False), ([0.5] * 11 + [0.6], True)],
)
def test_scores_that_say_nothing_are_found(scores, passed):
    from dataclasses import replace

    given = answers([honest(p) for p in PRODUCTS])
    scored = [replace(a, score=s) for a, s in zip(given, scores, strict=True)]
    audit = audit_arm(scored, Structure())
    assert next(f.passed for f in audit.findings if f.name == "floor") is passed


def test_examples_that_were_learnt_void_the_arm_above_the_bound():
    given = answers([honest(p) for p in PRODUCTS])
    examples = [a.example for a in given]
    long = [
        Example(id=e.id, inputs={"concept": f"{PRODUCTS[i]} for people in towns number {i} north"})
        for i, e in enumerate(examples)
    ]
    near = [e.inputs["concept"].replace("towns", "cities") for e in long]
    for known, passed in ((0, True), (1, False)):
        source = learnt_from([*near[:known], "something else that nobody asks about here"])
        audit = audit_arm(given, Structure(), [source], examples=long)
        (finding,) = (f for f in audit.findings if f.name == "training_inputs")
        assert finding.passed is passed
        assert finding.observed == pytest.approx(known / 12)
        assert finding.examples == tuple(e.id for e in long[:known])
        assert [e.text for e in finding.evidence] == [e.inputs["concept"] for e in long[:known]]
    many = [*long, *(Example(id=f"x{i}", inputs={"concept": f"n{i} " * 9}) for i in range(20))]
    audit = audit_arm(given, Structure(), [learnt_from(near[:1])], examples=many)
    (finding,) = (f for f in audit.findings if f.name == "training_inputs")
    assert (finding.passed, finding.examples) == (True, ("0",))
    assert "its mean without them is 0.9000" in finding.why


def test_a_form_in_which_all_inputs_are_asked_is_no_leak():
    form = "users want a new web app for"
    examples = [
        Example(id=str(i), inputs={"concept": f"{form} thing{i} area{i}"}) for i in range(9)
    ]
    others = [Example(id="t", inputs={"concept": f"{form} other matters"})]
    assert shared(examples, others) == {}
    again = [Example(id="t", inputs={"concept": f"{form} thing4 area4"})]
    assert shared(examples, again) == {4: (0, 1.0)}


def test_many_examples_are_compared_part_by_part(monkeypatch):
    form = "users want a new web app for"
    examples = [
        Example(id=str(i), inputs={"concept": f"{form} thing{i} area{i} with part{i} and view{i}"})
        for i in range(50)
    ]
    others = [
        examples[3],
        Example(id="t", inputs={"concept": "thing44 area44 with part44 and view44"}),
    ]
    whole = shared(examples, others)
    monkeypatch.setattr(import_module("baft.audit.leaks"), "AT_ONCE", 7)
    assert shared(examples, others) == whole
    assert set(whole) == {3, 44}


def test_training_data_that_is_gone_is_said_and_does_not_void():
    gone = Source(use="trained", name="old.jsonl", problem="the file is gone")
    audit = audit_arm(answers([honest(p) for p in PRODUCTS]), Structure(), [gone])
    (finding,) = (f for f in audit.findings if f.name == "training_inputs")
    assert (finding.checked, audit.passed) == (False, True)
    assert finding.why == (
        "Could not be checked: of old.jsonl, which it learnt from, the file is gone."
    )


@pytest.mark.parametrize(
    ("use", "sha256", "concepts", "said"),
    [
        ("selected", "v", [], "selected on these examples: the score is optimistic"),
        ("selected", "x", PRODUCTS[:3], "selected on 3 of these 12: the score is optimistic"),
        ("selected", "x", ["nothing of the kind"], ""),
        ("trained", "v", PRODUCTS, ""),
        (
            *("epoch", "v", []),
            "its best epoch was chosen by the loss on these examples: the score may be slightly "
            "optimistic",
        ),
    ],
)
def test_an_arm_that_was_chosen_by_these_examples_is_marked(use, sha256, concepts, said):
    examples = [a.example for a in answers([honest(p) for p in PRODUCTS])]
    assert selected_on(examples, "v", [learnt_from(concepts, use=use, sha256=sha256)]) == said


def test_what_an_answer_quotes_from_its_input_is_left_out():
    words = "the plan for a wine club in town keeps all of it in order".split()
    assert without_quotes(words, "a wine club in town".split()) == {
        ("the", "plan", "for"),
        *zip(words[8:], words[9:], words[10:], strict=False),
    }


def test_of_many_answers_a_sample_is_looked_at_and_the_report_says_so():
    given = answers([honest(p) for p in PRODUCTS])
    many = [given[i % 12] for i in range(1_200)]
    audit = audit_arm(many, Structure())
    assert audit.sampled == 400
    assert {null.n for null in audit.nulls} == {400}
    assert audit_arm(given, Structure()).sampled is None


def test_words_are_read_from_nested_values():
    assert words_of({"a": ["Uno dos", {"b": "tres"}], "c": None}) == ["uno", "dos", "tres"]


def test_near_pairs_are_what_counting_shingles_gives():
    one, two = list("abcdefgh"), list("abcdefgx")
    (pair,) = near_pairs([one, two], at_least=0.5)
    assert pair == (1, 0, pytest.approx(5 / 7))
    assert list(near_pairs([one], [two, one, []], at_least=0.9)) == [(0, 1, 1.0)]
    assert list(near_pairs([[], one, []])) == [(2, 0, 1.0)]


def test_the_words_of_a_document_that_is_text_are_taken_out_and_its_form_stays():
    one = {"review": "status: aligned\nsummary:\n- The two functions carry it"}
    other = {"review": "status: aligned\nsummary:\n- Nothing is said of waste"}
    assert yaml.safe_load(template([one, other])["review"]) == {
        "status": "aligned",
        "summary": ["lorem ipsum dolor sit amet"],
    }
