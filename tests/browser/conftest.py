"""Headless Chromium, the system's own: pages opened here must stay silent, offline and unhurt."""

from __future__ import annotations

import shutil
from importlib import resources
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
AXE = "(async () => { const found = await axe.run(); return found.violations; })()"


@pytest.fixture(scope="module")  # its event loop would be in the way of tests that come later
def browser():
    """The browser; tests are skipped where Playwright or Chromium is missing."""
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("needs Chromium (Debian: apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def visit(browser):
    """Opens pages: ``visit(path_or_url, width=…)``; afterwards none may have misbehaved.

    Any message on the console, any dialog, any request to elsewhere and any title that hostile
    text set fails the test.
    """
    contexts, pages, trouble = [], [], []

    def watch(page, home):
        page.on("console", lambda said: trouble.append(f"{said.type}: {said.text}"))
        page.on("pageerror", lambda error: trouble.append(f"error: {error}"))
        page.on(
            "dialog", lambda dialog: (trouble.append(f"dialog: {dialog.message}"), dialog.dismiss())
        )
        page.on(
            "request",
            lambda one: (
                None
                if one.url.startswith(home) or one.url.startswith("data:")
                else trouble.append(f"request: {one.url}")
            ),
        )

    def open_(where, *, width=1280, height=900, fragment="", **options):
        url = where.as_uri() + fragment if isinstance(where, Path) else where
        home = url if url.startswith("file:") else "/".join(url.split("/")[:3]) + "/"
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        watch(page, home.partition("#")[0])
        page.goto(url)
        pages.append(page)
        return page

    yield open_
    titles = [page.title() for page in pages]
    for context in contexts:
        context.close()
    assert trouble == []
    assert "hurt" not in titles


@pytest.fixture
def violations():
    """Serious and critical violations of axe's rules on a page, in words."""
    axe = resources.files(pytest.importorskip("axe_core_python")) / "axe.min.js"
    source = axe.read_text(encoding="utf-8")

    def check(page):
        page.evaluate(source)
        return [
            f"{one['id']}: {one['help']}: {one['nodes'][0]['html'][:160]}"
            for one in page.evaluate(AXE)
            if one["impact"] in ("serious", "critical")
        ]

    return check
