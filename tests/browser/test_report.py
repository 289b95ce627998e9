"""report.html as a person uses it: read, filter, follow a link, without a mouse, on a phone."""

from __future__ import annotations

import pytest

from baft.records import Generation, Prediction, Score, Scored
from baft.reports import html_report
from harness.reports import sample

pytestmark = pytest.mark.slow


def write(folder, n=22, change=None, **options):
    """A report of the sample run on disk."""
    store = sample.write_run(folder / "run", n=n, **options)
    if change:
        change(store)
    report = sample.report_of(store)
    path = folder / "report.html"
    path.write_text("".join(html_report(store, report, sample.decision_of(report))), "utf-8")
    store.close()
    return path


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return write(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def long_report(tmp_path_factory):
    return write(tmp_path_factory.mktemp("long"), n=1_000)


def count(page):
    """The number of examples that the filter leaves."""
    page.wait_for_timeout(150)
    return int(page.locator("#count").inner_text().split(" of ")[0])


def first(page):
    return page.locator("#list > *").first.get_attribute("id")


def test_it_opens_from_disk(visit, report):
    page = visit(report)
    assert page.locator("h1").inner_text() == "Keep baseline"
    assert count(page) == 22
    assert page.locator("#list > details").count() == 22


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_sticks_out(visit, report, width):
    page = visit(report, width=width, fragment="#ex-ba-001")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_filters_agree_with_the_data(visit, report):
    page = visit(report)
    page.get_by_label("Text").fill("pádel")
    assert count(page) == 6
    page.get_by_role("combobox", name="Tag").select_option(label="tier: complex")
    assert count(page) == 2
    page.get_by_role("button", name="Show all").click()
    assert count(page) == 22
    page.get_by_role("combobox", name="Arm").select_option("finetuned")
    page.get_by_role("combobox", name="Answer").select_option("failed")
    assert count(page) == 1
    assert first(page) == "ex-ba-005"
    page.get_by_role("combobox", name="Answer").select_option("")
    page.get_by_role("combobox", name="Lost points in").select_option("constraints")
    lost = count(page)
    page.get_by_label("Score from").fill("0.9")
    assert 0 < lost
    assert count(page) == 0


def test_better_worse_and_equal_make_up_all_that_can_be_compared(visit, report):
    page = visit(report)
    page.get_by_role("combobox", name="Arm").select_option("finetuned")
    counts = []
    for outcome in ("better", "worse", "equal"):
        page.get_by_role("combobox", name="Beside baseline").select_option(outcome)
        counts.append(count(page))
    assert sum(counts) == 21  # one answer failed
    assert counts[0] > 0


def test_the_order_can_be_chosen(visit, report):
    page = visit(report)
    order = page.get_by_role("combobox", name="Order")
    order.select_option("worst")
    page.wait_for_timeout(150)
    assert first(page) == "ex-ba-005"
    order.select_option("gain")
    page.wait_for_timeout(150)
    assert first(page) == "ex-ba-007"


def test_a_deep_link_opens_its_example(visit, report):
    page = visit(report, fragment="#ex-ba-003x")  # there is none
    assert page.locator("details.example[open]").count() == 0
    page = visit(report, fragment="#ex-%3C/script%3E%20%233%3F")
    opened = page.locator("details.example[open]")
    assert opened.get_attribute("id") == "ex-</script> #3?"
    assert opened.is_visible()


def test_a_link_on_the_page_opens_what_the_filter_hid(visit, report):
    page = visit(report)
    page.get_by_label("Text").fill("nothing has these words")
    assert count(page) == 0
    page.locator("#worst a[href='#ex-ba-007']").first.click()
    assert page.locator("details.example[open]").get_attribute("id") == "ex-ba-007"
    assert count(page) == 22
    page.locator("details.example[open] > summary").click()
    page.locator("#worst a[href='#ex-ba-007']").first.click()  # the same link once more
    assert page.locator("details.example[open]").count() == 1


def test_marks_can_be_switched_off(visit, report):
    page = visit(report, fragment="#ex-ba-001")
    mark = page.locator("details[open] mark").first
    ground = "(mark) => getComputedStyle(mark).backgroundColor"
    marked = mark.evaluate(ground)
    page.get_by_label("mark words").uncheck()
    page.wait_for_timeout(150)
    assert mark.evaluate(ground) == "rgba(0, 0, 0, 0)" != marked


def test_light_and_dark_follow_the_system_and_the_button(visit, report):
    ground = "getComputedStyle(document.body).backgroundColor"
    light, dark = (visit(report, color_scheme=how) for how in ("light", "dark"))
    assert light.evaluate(ground) != dark.evaluate(ground)
    button = light.get_by_role("button", name="Switch between light and dark")
    button.click()
    assert light.evaluate(ground) == dark.evaluate(ground)
    light.reload()
    assert light.evaluate(ground) == dark.evaluate(ground)
    light.emulate_media(media="print")
    assert light.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light"


def test_everything_can_be_reached_by_keyboard(visit, report):
    page = visit(report)
    reached = set()
    for _ in range(120):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.localName"))
        if page.evaluate("document.activeElement.matches('#list summary')"):
            break
    assert {"theme", "f-text", "f-arm", "f-order", "f-marks", "unfold", "a"} <= reached
    page.keyboard.press("Enter")
    assert page.locator("details.example[open]").count() == 1
    page.keyboard.press("Enter")
    assert page.locator("details.example[open]").count() == 0


@pytest.mark.parametrize("how", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_no_serious_barrier(visit, violations, report, how, width):
    page = visit(report, width=width, color_scheme=how, fragment="#ex-ba-001")
    assert violations(page) == []


def test_a_long_run_is_paged_and_searched_whole(visit, long_report):
    page = visit(long_report)
    assert page.locator("#list > *").count() == 50
    assert page.locator("#page").inner_text() == "page 1 of 20"
    page.get_by_role("button", name="Next").click()
    assert page.locator("#page").inner_text() == "page 2 of 20"
    page.get_by_label("Text").fill("ba-777")
    assert count(page) == 1
    page.get_by_role("button", name="Show all").click()
    assert count(page) == 1_000


def test_an_example_without_its_answers_can_be_linked_to(visit, long_report):
    page = visit(long_report)
    brief = page.evaluate(
        "JSON.parse(document.getElementById('data').textContent).rows"
        ".map((row) => row[0]).filter((id) => !document.getElementById(id)).at(-1)"
    )
    page = visit(long_report, fragment=f"#{brief}")
    found = page.locator(f"#{brief}")
    assert found.is_visible()
    assert found.locator(".chip").count() == 3


def hostile(store):
    """Every answer of one arm is an attack or a burden."""
    texts = [
        "x" * 5_000_000,
        f"{sample.HOSTILE * 200}\ud800\udfff",
        "</script></style></textarea></title><svg onload=\"document.title='hurt'\">",
        "<a href=\"javascript:document.title='hurt'\">x</a><iframe srcdoc='<script>parent.document"
        '.title="hurt"</script>\'></iframe>',
        "]]><!--<script>document.title='hurt'</script>--!><base href='https://example.org/'>",
        "{{ 7 * 7 }}{% include 'x' %}\x00\u202e\u2028\u2029",
    ]
    fields = {
        "title": texts[2],
        "description": texts[1],
        "functional_requirements": [
            {"id": texts[3], "description": texts[i % 6][:4_000], "priority": texts[4]}
            for i in range(10_000)
        ],
        texts[2]: texts[3],
    }
    for i, text in enumerate(texts):
        id_ = sample.example(i).id
        generation = Generation(example_id=id_, text=text, notes=(texts[3],))
        store.add_generations("optimized", 0, [generation])
        store.add_results(
            "optimized",
            [
                Scored(
                    example_id=id_,
                    generation=generation,
                    prediction=Prediction(fields=fields, validity="as_is"),
                    score=Score(value=0.5, components={"title": 0.5}),
                )
            ],
        )


def test_hostile_answers_do_nothing(visit, tmp_path):
    page = visit(write(tmp_path, change=hostile))
    page.get_by_role("button", name="Open these").click()
    for summary in page.locator("details.example .raw > summary").all()[:18]:
        summary.click()
    page.wait_for_timeout(300)
    assert page.title().startswith("Keep baseline")
    assert page.locator("iframe, base, img, object, embed, svg[onload]").count() == 0
    assert page.locator("a:not([href^='#'])").count() == 0
    assert page.locator("script").count() == 2
    assert page.locator("#list > details").count() == 22
