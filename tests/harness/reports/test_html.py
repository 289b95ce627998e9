from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from baft.records import Failure, Generation, Prediction, Score, Scored
from baft.reports import html_report

from . import sample
from .test_markdown import no_scores


class Page(HTMLParser):
    """Every element with its attributes, and the text of style and script."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.raw = [], {}
        self._inside = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        if ("type", "application/json") in attributes:
            tag = "data"  # no browser runs it
        self.elements.append((tag, dict(attributes)))
        self._inside = tag if tag in ("script", "style", "data") else None

    def handle_data(self, data):
        if self._inside:
            self.raw[self._inside] = self.raw.get(self._inside, "") + data

    def handle_endtag(self, tag):
        self._inside = None

    def named(self, tag):
        return [attributes for found, attributes in self.elements if found == tag]

    def rows(self):
        """What the list of examples is filtered by: anchor, title, id, tags, answers."""
        return json.loads(self.raw["data"])["rows"]

    def classed(self, name):
        return [a for _, a in self.elements if name in (a.get("class") or "").split()]


def page(store, report, decision):
    return "".join(html_report(store, report, decision))


def test_the_policy_allows_exactly_what_stands_in_the_page(store, report, decision):
    found = Page(page(store, report, decision))
    policy = next(a["content"] for a in found.named("meta") if "http-equiv" in a)
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "http" not in policy
    for tag in ("style", "script"):
        assert len(found.named(tag)) == 1
        digest = base64.b64encode(hashlib.sha256(found.raw[tag].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_nothing_needs_more_than_the_policy_allows(store, report, decision):
    for tag, attributes in Page(page(store, report, decision)).elements:
        assert tag not in ("img", "iframe", "object", "link", "base", "embed")
        assert not {"style", "src", "srcdoc", "action"} & set(attributes)
        assert not [name for name in attributes if name.startswith("on")]
        assert attributes.get("href", "#").startswith("#")


def test_hidden_characters_are_named_on_the_page(store, report, decision):
    text = page(store, report, decision)
    assert "⟨U+202E⟩" in text
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text)
    text.encode("utf-8")


def test_hostile_names_do_no_harm(store, report, decision):
    odd = replace(
        report,
        arms=(replace(report.arms[0], spec=sample.HOSTILE, config={}), *report.arms[1:]),
        notes=("\ud800<script>",),
        dataset=sample.HOSTILE,
    )
    found = Page(page(store, odd, replace(decision, next_steps=(sample.HOSTILE,))))
    assert len(found.named("script")) == 1
    assert not found.named("img")


def test_every_section_is_there(store, report, decision):
    text = page(store, report, decision)
    for part in (
        *("Keep baseline", "finetuned lacks 1 of 22.", "Where the points go", "By tag"),
        *("Does the metric measure anything here?", "would reach 0.8535", "Worst answers"),
        *("prefers-color-scheme", "@media print", 'name="viewport"', "light-dark("),
        *("cut off by a token limit; nothing could be parsed", "generate: No answer."),
        *("attainable maximum 0.9286", "threshold 0.8535", "More than chance"),
    ):
        assert part in text


def test_every_link_leads_somewhere(store, report, decision):
    from urllib.parse import unquote

    found = Page(page(store, report, decision))
    ids = [a["id"] for _, a in found.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert {unquote(a["href"][1:]) for a in found.named("a")} <= set(ids)


def test_every_example_has_every_arm_side_by_side(store, report, decision):
    found = Page(page(store, report, decision))
    assert len(found.classed("example")) == 22
    assert len(found.classed("answer")) == 3 * 22


def test_every_example_is_listed_with_what_it_is_filtered_by(store, report, decision):
    found = Page(page(store, report, decision))
    rows, states = found.rows(), json.loads(found.raw["data"])["states"]
    assert len(rows) == 22
    anchor, title, id_, tags, answers = rows[5]
    assert (anchor, id_) == ("ex-ba-005", "ba-005")
    assert title.startswith("Una aplicación")
    assert len(tags) == 2
    assert answers[2] == [None, "void", [], [states.index("failed")]]
    assert [states[one] for one in rows[7][4][0][3]] == ["none", "truncated"]
    assert rows[0][4][0][0] == pytest.approx(report.arms[0].scores["ba-000"], abs=1e-6)
    assert [lost for _, _, lost, _ in rows[0][4]][:2] == [[3, 5], []]


def test_the_list_holds_hostile_text_as_plain_letters(store, report, decision):
    found = Page(page(store, report, decision))
    raw = found.raw["data"]
    assert raw.isascii()
    assert not set("<>&") & set(raw)
    assert found.rows()[3][2] == "</script> #3?"
    assert "⟨U+202E⟩" not in found.rows()[3][1]  # a title is one line without hidden characters
    assert "\u202e" not in raw


def test_what_the_reference_does_not_say_is_marked(store, report, decision):
    text = page(store, report, decision)
    assert "<mark>" in text
    assert "mark words that baseline does not have" in text
    assert '<span class="change">the same</span>' in text


def test_lists_are_laid_out_with_ids_and_priorities(store, report, decision):
    text = page(store, report, decision)
    assert "<code>FR001</code>" in text
    assert "As YAML text" in text
    assert '<span class="priority p-high">High</span>' in text


def test_more_than_two_hundred_examples_are_thinned_and_it_says_so(run):
    from urllib.parse import unquote

    store, report, decision = run(n=240)
    found = Page(text := page(store, report, decision))
    assert len(found.classed("example")) == 200
    assert "all 240 examples and the answers to the 200 most telling" in text
    assert [row[2] for row in found.rows()][:3] == ["ba-000", "ba-001", "ba-002"]
    assert len(found.rows()) == 240
    shown = {a["id"] for a in found.classed("example")}
    assert {"ex-ba-005", "ex-ba-007"} <= shown
    assert {unquote(a["href"][1:]) for a in found.named("a") if "#ex-" in a["href"]} <= shown


def test_huge_answers_are_cut_and_it_says_so(store, report, decision):
    huge = Generation(example_id="ba-001", text="x" * 5_000_000)
    fields = {"title": "y" * 50_000, "constraints": [{"id": f"C{i}"} for i in range(10_000)]}
    store.add_generations("baseline", 0, [huge])
    store.add_results(
        "baseline",
        [
            Scored(
                example_id="ba-001",
                generation=huge,
                prediction=Prediction(fields=fields, validity="as_is"),
                score=Score(value=0.5, components={"title": 0.5}),
            )
        ],
    )
    text = page(store, report, decision)
    assert len(text) < 700_000
    assert "… 4,980,000 more characters are in run.db." in text
    assert "… 30,000 more characters are in run.db." in text
    assert "… 9,900 more entries are in run.db." in text


@pytest.mark.parametrize(
    "value",
    [
        "- &a [x]\n- *a",
        "- " + "[" * 5000,
        "- !!python/object/apply:os.system ['true']",
        "- \x00",
        "- a: b: c",
        "- ? [x]\n  : y",
        None,
        "",
        0,
        float("1e300"),
        [],
        [None, 3, ["x"], {"id": None, "priority": ["High"], "description": {"a": 1}}],
        {"nested": {"deep": [1]}},
    ],
)
def test_any_value_of_a_field_can_be_laid_out(value):
    from baft.reports.fields import lay_out

    assert lay_out("f", {"f": value}).kind in ("text", "list", "absent")


def test_an_arm_that_never_answered_has_no_figures(run):
    store, report, decision = run(n=3)
    arms = (report.arms[0], no_scores(report.arms[1]), report.arms[2])
    store.add_results(
        "optimized",
        [
            Scored(
                example_id=row.example_id,
                failure=Failure(example_id=row.example_id, stage="generate", reason="server down"),
            )
            for row in list(store.score_rows("optimized"))
        ],
    )
    text = page(store, replace(report, arms=arms), decision)
    assert "not audited" in text
    assert "generate: server down" in text


def test_no_example_at_all_is_a_page_too(run):
    store, report, decision = run(n=0)
    assert "Examples" in page(store, report, decision)


def test_one_arm_is_measured_and_not_decided(run):
    store, report, decision = run(n=3, arms=("model",))
    text = page(store, report, decision)
    assert "Measured only" in text
    assert 'id="tests"' not in text


def test_repeats_are_listed_under_the_first(run):
    store, report, decision = run(n=3, repeats=2)
    text = page(store, report, decision)
    assert "first of 2 repeats" in text
    assert "repeat 2: " in text


def test_three_by_twenty_two_stay_under_two_megabytes(store, report, decision):
    assert len(page(store, report, decision).encode()) < 2_000_000
