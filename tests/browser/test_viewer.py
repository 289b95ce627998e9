"""The viewer in a browser: open, look, follow a run, compare two, without a mouse too."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest

from baft.store import RunStore
from baft.store.codec import to_json
from harness.reports import sample
from harness.viewer import TOKEN, listening

pytestmark = pytest.mark.slow

FIRST, SECOND = "20260101T000000Z-pocket-aaaa", "20260102T000000Z-pocket-bbbb"


def finish(store, folder):
    decision = sample.decision_of(sample.report_of(store))
    (folder / "decision.json").write_text(to_json(decision), encoding="utf-8")
    store.close()


@pytest.fixture
def runs(tmp_path):
    """Two finished runs, of which the second lost an answer; their texts are hostile."""
    for name in (FIRST, SECOND):
        folder = tmp_path / "artifacts" / "runs" / name
        store = sample.write_run(folder)
        store.write_manifest(replace(store.manifest(), run_id=name))
        finish(store, folder)
    db = sqlite3.connect(folder / "run.db")
    db.execute("UPDATE results SET value = 0.1 WHERE arm = 'baseline' AND example_id = 'ba-001'")
    db.commit()
    db.close()
    return tmp_path / "artifacts" / "runs"


@pytest.fixture
def address(tmp_path, runs):
    pytest.importorskip("starlette")
    with listening(tmp_path) as port:
        yield lambda path="/": f"http://127.0.0.1:{port}{path}?token={TOKEN}"


@pytest.mark.parametrize("width", [1280, 390])
def test_the_list_opens_without_the_token_in_its_address(visit, address, violations, width):
    page = visit(address(), width=width)
    page.wait_for_selector(".trend svg")
    assert "token" not in page.url
    assert page.locator("tbody tr").count() == 2
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert violations(page) == []


@pytest.mark.parametrize("width", [1280, 390])
def test_answers_come_when_an_example_is_opened(visit, address, violations, width):
    page = visit(address(f"/run/{FIRST}"), width=width)
    page.wait_for_selector(".example")
    assert page.locator("article.answer").count() == 0
    page.locator("summary", has_text="</script>").first.click()
    page.wait_for_selector("article.answer")
    assert page.locator("article.answer").count() == 3
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert violations(page) == []


def test_two_runs_are_chosen_and_compared_by_keyboard(visit, address):
    page = visit(address())
    page.wait_for_selector("#runs")
    submit = page.locator("#runs button")
    assert submit.is_disabled()
    for box in page.locator("input[name=run]").all():
        box.focus()
        page.keyboard.press("Space")
    submit.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("h1:has-text('Two runs')")
    changed = page.locator("summary", has_text="ba-001").first
    changed.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("article.answer")
    assert page.locator("article.answer").count() == 2


def test_a_run_is_followed_until_it_is_decided(visit, address, runs):
    folder = runs / "20260103T000000Z-pocket-cccc"
    store = RunStore.create(folder, sample.manifest(22, ("baseline", "optimized")))
    examples = [sample.example(i) for i in range(22)]
    for arm, n in (("baseline", 22), ("optimized", 4)):
        store.add_results(arm, [sample.result(e, i, 0) for i, e in enumerate(examples[:n])])
    page = visit(address(f"/run/{folder.name}"))
    page.wait_for_selector("text=4 of 22 answers")
    store.add_results("optimized", [sample.result(e, i, 1) for i, e in enumerate(examples)])
    page.wait_for_selector("text=Running")
    page.locator(".card", has_text="22 of 22 answers").nth(1).wait_for()
    finish(store, folder)
    page.wait_for_selector("h2:has-text('Keep baseline')")
    page.wait_for_selector('#follow[data-follow=""]')


def test_the_theme_is_switched_and_remembered(visit, address):
    page = visit(address(), color_scheme="light")
    page.wait_for_selector("#theme:visible")
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.locator("#theme").focus()
    page.keyboard.press("Enter")
    after = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert before != after
    page.reload()
    page.wait_for_selector("#theme:visible")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == after


def test_the_first_stop_of_the_keyboard_skips_to_the_content(visit, address):
    page = visit(address())
    page.wait_for_selector("#runs")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
