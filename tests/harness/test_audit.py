"""Answers that know nothing of their example are found; honest ones pass."""

from __future__ import annotations

import pytest

from baft import Example, Prediction, Score
from baft.audit import Answer, audit_arm, near_pairs, words_of

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


def honest(product):
    words = product.split()
    return f"The {product} lets people use the {words[-1]} of a {words[0]} and see {words[1]} data"


def test_honest_answers_pass():
    audit = audit_arm(answers([honest(p) for p in PRODUCTS]), Structure())
    assert audit.passed
    assert audit.shuffled_mean == pytest.approx(0.9)
    assert audit.constant_mean == pytest.approx(0.9)


def test_a_constant_template_fails_on_relevance_and_copies():
    audit = audit_arm(
        answers(["A generic platform for all users and all their needs"] * 12), Structure()
    )
    assert failed(audit) == {"relevance", "near_copies"}
    assert all(f.examples for f in audit.findings)


def test_answers_dealt_to_the_wrong_examples_fail_on_relevance():
    texts = [honest(p) for p in PRODUCTS]
    assert failed(audit_arm(answers([*texts[1:], texts[0]]), Structure())) == {"relevance"}


def test_copies_of_training_answers_fail():
    texts = [honest(p) for p in PRODUCTS]
    training = [{"title": t} for t in texts]
    assert failed(audit_arm(answers(texts), Structure(), training)) == {"training_copies"}


def test_too_few_answers_cannot_be_verified():
    few = answers([honest(p) for p in PRODUCTS])[:3]
    assert failed(audit_arm(few, Structure())) == {"relevance"}


def test_empty_answers_fail():
    assert "relevance" in failed(audit_arm(answers([""] * 12), Structure()))


def test_the_audit_is_reproducible():
    given = answers([honest(p) for p in PRODUCTS])
    assert audit_arm(given, Structure()) == audit_arm(given, Structure())


def test_words_are_read_from_nested_values():
    assert words_of({"a": ["Uno dos", {"b": "tres"}], "c": None}) == ["uno", "dos", "tres"]


def test_near_pairs_are_what_counting_shingles_gives():
    one, two = list("abcdefgh"), list("abcdefgx")
    (pair,) = near_pairs([one, two], at_least=0.5)
    assert pair == (1, 0, pytest.approx(5 / 7))
    assert list(near_pairs([one], [two, one, []], at_least=0.9)) == [(0, 1, 1.0)]
    assert list(near_pairs([[], one, []])) == [(2, 0, 1.0)]
