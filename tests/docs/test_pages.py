"""The documentation: every block is run, and generated pages are those of the code."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

import pages
from baft.testing import FakeOllama

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
RUN = [page for page in PAGES if any(block.kind == "sh" for block in pages.blocks(page))]
MOST_NOT_RUN = 6
PIP = {
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_BUILD_ISOLATION": "0",  # pip takes it for the value of --build-isolation
    "PIP_NO_DEPS": "1",
    "PIP_NO_INDEX": "1",
}
"""Packages that a page makes are installed into its folder, without the network."""


def named(page: Path) -> str:
    return str(page.relative_to(DOCS))


def marked(page: Path) -> object:
    marks = [pytest.mark.slow] if "slow" in pages.of_page(page) else []
    return pytest.param(page, id=named(page), marks=[*marks, pytest.mark.timeout(1800)])


@pytest.mark.parametrize("page", [marked(page) for page in RUN])
def test_what_a_page_says_can_be_done(page, tmp_path):
    site = str(tmp_path / ".site")
    installing = {**PIP, "PIP_TARGET": site, "PYTHONPATH": site}
    if "ollama" not in pages.of_page(page):
        pages.run(page, tmp_path, **installing)
        return
    from baft.testing import make_tiny_mistral

    weights = make_tiny_mistral(tmp_path / ".weights", max_position_embeddings=8192)
    with FakeOllama("title: Nothing") as server:
        pages.run(page, tmp_path, OLLAMA_HOST=server.url, MISTRAL=str(weights), **installing)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_block_of_a_page_is_run_written_or_says_why_not(page):
    generated = "Written by docs/generate.py" in page.read_text(encoding="utf-8")
    for block in pages.blocks(page):
        where = f"{named(page)}, line {block.line}"
        assert block.kind in pages.KINDS, f"{where}: name the block's language"
        known = {"exit", "with", "not run", "file", "output"}
        assert set(block.notes) <= known, f"{where}: {block.notes}"
        accounted = generated or block.kind == "sh" or block.notes
        assert accounted, f"{where}: nothing tests this block"
        assert block.notes.get("not run", "-"), f"{where}: why is it not run?"


def test_few_blocks_are_not_run():
    left = [block for page in RUN for block in pages.blocks(page) if "not run" in block.notes]
    assert len(left) <= MOST_NOT_RUN


def test_generated_pages_are_those_of_the_code():
    made = runpy.run_path(str(DOCS / "generate.py"))["pages"]()
    assert len(made) == 3
    for path, text in made.items():
        is_same = path.read_text(encoding="utf-8") == text.rstrip() + "\n"
        assert is_same, f"run: .venv/bin/python docs/generate.py ({path.name} is out of date)"


def test_every_page_is_in_the_navigation_and_opens_with_one_heading():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("nav:")[1]
    for page in PAGES:
        assert named(page) in navigation
        text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
        assert len(re.findall(r"^# ", text, re.M)) == 1, page


def test_a_block_that_goes_wrong_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```sh\nexit 3\n```\n")
    with pytest.raises(AssertionError, match="line 2 ended with 3"):
        pages.run(page, tmp_path)
    page.write_text("<!-- exit: 2 or 3 -->\n```sh\necho so; exit 3\n```\n")
    assert pages.run(page, tmp_path) == ["so\n"]
    page.write_text("```sh\necho so\n```\n\n<!-- output -->\n```text\nno\n```\n")
    with pytest.raises(AssertionError, match="line 7 is not in"):
        pages.run(page, tmp_path)
