"""The viewer's pages, over runs that hold what models and strangers really write."""

from __future__ import annotations

import json
import re
import sqlite3
from html.parser import HTMLParser

import pytest

from baft.records import Generation, Promotion
from baft.store import RunStore
from baft.store.codec import to_json
from harness.reports import sample

FIRST, SECOND = "20260101T000000Z-pocket-aaaa", "20260102T000000Z-pocket-bbbb"


class Page(HTMLParser):
    """What a browser would make of a page: tags with their attributes."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def assert_harmless(answer):
    """No script but ours, no handler, no style, no address of another kind, no invisible text."""
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    page = Page(answer.text)
    scripts = [attrs for tag, attrs in page.tags if tag == "script"]
    assert scripts in ([], [{"src": "/static/view.js", "defer": None}])
    assert {tag for tag, _ in page.tags}.isdisjoint({"img", "iframe", "object", "embed", "base"})
    for tag, attrs in page.tags:
        assert not any(name.startswith("on") or name == "style" for name in attrs), (tag, attrs)
        for name in ("href", "src", "action"):
            assert re.match(r"/(?!/)|#|\?|data:,$", attrs.get(name, "/")), (tag, attrs)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", answer.text)


def test_the_list_shows_every_run_with_scores_and_verdict(browser, add_run):
    add_run(FIRST)
    add_run(SECOND, {"role": "tester", "benchmark": "other"})
    answer = browser.get("/")
    assert answer.status == 200
    assert_harmless(answer)
    for word in ("pocket", "other", "tester", "baseline", "finetuned", "keep baseline", "2026"):
        assert word in answer.text
    assert re.search(r"finetuned <b>0\.\d{4}</b>", answer.text)
    chosen = browser.get("/", {"role": "tester"}).text
    assert SECOND in chosen
    assert FIRST not in chosen


def test_an_empty_project_says_how_to_begin(browser):
    assert "baft compare pocket" in browser.get("/").text


def test_the_list_opens_no_report_and_reads_a_run_again_only_when_it_changed(
    browser, add_run, monkeypatch
):
    from baft.viewer import catalog

    folder = add_run(FIRST)
    add_run(SECOND)
    (folder / "report.json").write_text("not even JSON")
    opened = []
    real = catalog._read
    monkeypatch.setattr(catalog, "_read", lambda *given: opened.append(given[0]) or real(*given))
    browser.get("/")
    assert sorted(opened) == [FIRST, SECOND]
    browser.get("/")
    assert len(opened) == 2
    decision = json.loads((folder / "decision.json").read_text())
    (folder / "decision.json").write_text(json.dumps({**decision, "incumbent": "changed"}))
    assert "keep changed" in browser.get("/").text
    assert opened[2:] == [FIRST]


def test_a_broken_run_is_listed_as_broken_and_hides_no_other(browser, add_run):
    add_run(FIRST)
    broken = add_run(SECOND)
    (broken / "run.json").write_text('{"run_id": "<script>alert(1)</script>"}')
    (add_run("c") / "run.db").write_bytes(b"\x00" * 4096)
    (add_run("d") / "decision.json").write_text("[" * 100_000)
    answer = browser.get("/")
    assert answer.status == 200
    assert_harmless(answer)
    assert f"/run/{FIRST}" in answer.text
    assert answer.text.count('colspan="5" class="bad"') == 3
    assert browser.get(f"/run/{SECOND}").status == 422


def test_a_run_shows_its_rules_and_examples_and_fetches_answers_when_asked(browser, add_run):
    add_run(FIRST)
    answer = browser.get(f"/run/{FIRST}")
    assert_harmless(answer)
    assert "required: mean &gt;= 0.8535" in answer.text
    assert answer.text.count('<details class="example"') == 22
    assert "As YAML text" not in answer.text
    part = browser.get(f"/run/{FIRST}/example", {"id": "ba-000", "part": "1"})
    assert_harmless(part)
    assert part.text.count('<article class="answer') == 3
    assert "As YAML text" in part.text
    assert "<html" not in part.text
    assert "<html" in browser.get(f"/run/{FIRST}/example", {"id": "ba-000"}).text
    assert browser.get(f"/run/{FIRST}/example", {"id": "nowhere"}).status == 404


def test_long_runs_are_paged(browser, add_run):
    add_run(FIRST, n=120, arms=("baseline",))
    assert browser.get(f"/run/{FIRST}").text.count('<details class="example"') == 50
    last = browser.get(f"/run/{FIRST}", {"start": "100"})
    assert last.text.count('<details class="example"') == 20
    assert "101 to 120 of 120" in last.text
    for start in ("-1", "x", "9" * 40, "٣"):
        assert browser.get(f"/run/{FIRST}", {"start": start}).status == 200


def test_a_run_is_followed_while_it_executes(browser, project):
    folder = project / "artifacts" / "runs" / FIRST
    store = RunStore.create(folder, sample.manifest(22, ("baseline",)))
    examples = [sample.example(i) for i in range(22)]
    results = [sample.result(e, i, 0) for i, e in enumerate(examples)]
    store.add_results("baseline", results[:10])
    assert 'data-state="running"' in browser.get(f"/run/{FIRST}/live").text
    assert "10 of 22 answers" in browser.get(f"/run/{FIRST}").text
    assert "running" in browser.get("/").text
    store.add_results("baseline", results[10:])
    assert "22 of 22 answers" in browser.get(f"/run/{FIRST}/live").text
    store.close()
    part = browser.get(f"/run/{FIRST}/live")
    assert 'data-state="finished"' in part.text
    assert_harmless(part)


def test_a_killed_run_is_unfinished(browser, project):
    folder = project / "artifacts" / "runs" / FIRST
    RunStore.create(folder, sample.manifest(22, ("baseline",))).close()
    assert 'data-state="unfinished"' in browser.get(f"/run/{FIRST}/live").text


def test_two_runs_are_compared_example_by_example(browser, add_run):
    add_run(FIRST)
    folder = add_run(SECOND)
    db = sqlite3.connect(folder / "run.db")
    fields = json.dumps(
        {"description": sample.document(sample.example(0), 0, False)["description"]}
    )
    db.execute("UPDATE results SET prediction = ?", (fields.replace("A product", "A new thing"),))
    db.commit()
    db.close()
    answer = browser.get("/diff", {"run": [SECOND, FIRST]})
    assert answer.status == 200
    assert_harmless(answer)
    assert answer.text.index(f"/run/{FIRST}") < answer.text.index(f"/run/{SECOND}")
    assert "0 fixed, 0 broken, 22 unchanged" in answer.text
    crossed = browser.get("/diff", {"run": [FIRST, SECOND], "arm": "baseline=finetuned"})
    found = re.findall(r'data-part="([^"]*)"', crossed.text)
    link = next(address for address in found if "id=ba-000" in address)
    both = browser.get(link.replace("&amp;", "&"))
    assert_harmless(both)
    assert both.text.count('<article class="answer') == 2
    assert f"baseline · {FIRST}" in both.text
    assert f"finetuned · {SECOND}" in both.text
    assert "<mark>" in both.text


def test_what_cannot_be_compared_is_said_and_can_be_forced(browser, add_run):
    add_run(FIRST)
    add_run(SECOND, {"dataset_sha256": "cd" * 32})
    asked = {"run": [FIRST, SECOND]}
    answer = browser.get("/diff", asked)
    assert answer.status == 422
    assert "dataset_sha256" in answer.text
    (link,) = re.findall(r'<a href="([^"]*force=1)"', answer.text)
    assert browser.get(link.replace("&amp;", "&")).status == 200
    for runs in ([], [FIRST], [FIRST, SECOND, FIRST]):
        assert browser.get("/diff", {"run": runs}).status == 422


def test_the_trend_is_one_inline_chart_of_a_role(browser, add_run):
    add_run(FIRST)
    assert browser.get("/trend", {"role": "ba"}).status == 404
    add_run(SECOND)
    answer = browser.get("/trend", {"role": "ba"})
    assert_harmless(answer)
    assert answer.text.count("<svg") == 1
    assert "finetuned" in answer.text
    assert "/trend?role=ba&amp;part=1" in browser.get("/").text


def test_promotions_are_listed_the_last_first(browser, project):
    folder = project / "artifacts"
    folder.mkdir(parents=True)
    given = {"role": "ba", "spec": "<b>", "fingerprint": "", "run": "r", "config": "config.yaml"}
    given |= {"sha256_before": "", "sha256_after": "", "backup": "", "who": "me", "host": "here"}
    records = [
        Promotion(action="promote", arm="tuned", date="2026-01-01T00:00:00+00:00", **given),
        Promotion(action="rollback", arm="1", date="2026-01-02T00:00:00+00:00", **given),
        Promotion(action="rollback", arm="x", to=7, date="2026-01-03T00:00:00+00:00", **given),
    ]
    lines = "".join(to_json(record, indent=None) + "\n" for record in records)
    (folder / "promotions.jsonl").write_text(lines)
    answer = browser.get("/")
    assert_harmless(answer)
    assert answer.text.index("back to promotion 7") < answer.text.index("promotion 1 taken back")
    assert answer.text.index("promotion 1 taken back") < answer.text.index("<b>tuned</b> promoted")
    assert [path.name for path in folder.iterdir()] == ["promotions.jsonl"]


@pytest.mark.parametrize(
    "path",
    [
        "/run/../../../etc/passwd",
        "/run/..%2f..%2f..%2fetc%2fpasswd",
        "/run/%2e%2e/file/run.json",
        f"/run/{FIRST}/file/..%2f..%2f..%2f..%2fsecret",
        f"/run/{FIRST}/file/run.db",
        f"/run/{FIRST}/file/%00",
        f"/run/{FIRST}%00/file/run.json",
        "/static/..%2fpages.py",
        "/static/view.css%00",
        "/static//etc/passwd",
    ],
)
def test_no_path_leads_out_of_the_runs(browser, add_run, project, path):
    add_run(FIRST)
    (project / "secret").write_text("secret words")
    (project / "run.json").write_text("secret words")
    answer = browser.get(path)
    assert answer.status in (404, 422)
    assert "secret words" not in answer.text
    assert "root:" not in answer.text


def test_links_in_a_run_are_not_followed(browser, add_run, project):
    folder = add_run(FIRST)
    (project / "secret").write_text("secret words")
    (folder / "report.md").symlink_to(project / "secret")
    assert browser.get(f"/run/{FIRST}/file/report.md").status == 404


def test_a_report_from_elsewhere_runs_in_a_sandbox(browser, add_run):
    folder = add_run(FIRST)
    (folder / "report.html").write_text("<script>fetch('/')</script>")
    answer = browser.get(f"/run/{FIRST}/file/report.html")
    policy = answer.headers["content-security-policy"]
    assert answer.text == "<script>fetch('/')</script>"
    assert "sandbox allow-scripts" in policy
    assert "allow-same-origin" not in policy
    assert re.search(r"script-src 'sha256-[^']+'", policy)
    assert "connect-src" not in policy
    assert answer.headers["content-type"].startswith("text/html")
    assert "text/plain" in browser.get(f"/run/{FIRST}/file/run.json").headers["content-type"] or (
        "application/json" in browser.get(f"/run/{FIRST}/file/run.json").headers["content-type"]
    )


HOSTILE = (
    "</script><script>window.hurt=1</script><img src=x onerror=hurt()>"
    "<a href='javascript:hurt()'>x</a></textarea></title>\x1b[31m\u202egpj\x00\x9b"
)


def test_hostile_text_in_every_place_stays_text(browser, add_run):
    folder = add_run(FIRST, {"benchmark": HOSTILE, "role": HOSTILE, "dataset": HOSTILE})
    db = sqlite3.connect(folder / "run.db")
    bad = HOSTILE.replace("\x00", "") + "\x7f"
    db.execute("UPDATE examples SET tags = ?", (json.dumps({bad: bad}),))
    db.execute("UPDATE generations SET text = ?, notes = ?", (HOSTILE, json.dumps([bad])))
    fields = json.dumps({bad: [{"id": bad, "description": bad, "priority": bad}], "t": "\ud800"})
    db.execute("UPDATE results SET prediction = ?, failure_reason = ?", (fields, bad))
    db.commit()
    db.close()
    for path in ("/", f"/run/{FIRST}", f"/run/{FIRST}/example?id=ba-000", "/trend?role=x"):
        answer = browser.get(path)
        assert answer.status in (200, 404)
        assert_harmless(answer)
    page = browser.get(f"/run/{FIRST}/example?id=ba-000").text
    assert "&lt;script&gt;window.hurt=1" in page
    assert "⟨U+D800⟩" in page
    assert "⟨U+202E⟩" in page
    hostile = browser.get(f"/run/{FIRST}/example", {"id": "</script> #3?"})
    assert hostile.status == 200
    assert_harmless(hostile)


def test_broken_utf_8_and_huge_texts_leave_a_small_page(browser, add_run):
    folder = add_run(FIRST)
    store = RunStore.open(folder)
    huge = "<b>" * 1_700_000
    store.add_generations("baseline", 0, [Generation(example_id="ba-000", text=huge)])
    store.close()
    db = sqlite3.connect(folder / "run.db")
    db.execute("UPDATE generations SET text = CAST(x'41ff42' AS TEXT) WHERE arm = 'optimized'")
    many = json.dumps({"list": [{"id": str(i), "description": "d"} for i in range(10_000)]})
    db.execute("UPDATE results SET prediction = ? WHERE arm = 'finetuned'", (many,))
    db.commit()
    db.close()
    answer = browser.get(f"/run/{FIRST}/example?id=ba-000")
    assert answer.status == 200
    assert "A\ufffdB" in answer.text
    assert "characters" in answer.text
    assert len(answer.content) < 500_000
    assert_harmless(answer)
