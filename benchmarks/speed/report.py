"""How long the reports of a run take to write, and its page to open and to filter.

Run it: .venv/bin/python benchmarks/speed/report.py [--examples 22 5000]
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from replays import make_data

BAFT = [sys.executable, "-m", "baft"]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FILTERED = """() => new Promise((done) => {
  const started = performance.now();
  const text = document.getElementById("f-text");
  text.value = "variant 7";
  text.form.dispatchEvent(new Event("input"));
  setTimeout(() => requestAnimationFrame(() => setTimeout(
    () => done([performance.now() - started - 80, document.getElementById("count").textContent])
  )), 80);
})"""
"""Types into the search and waits for the frame after; 80 ms are the page's own pause."""
OPENED = """() => {
  const [page] = performance.getEntriesByType("navigation");
  return page.loadEventEnd || page.domContentLoadedEventEnd;
}"""


WRITTEN = """
import sys, time
from pathlib import Path
from baft.reports import read_report, write_reports
from baft.store import RunStore
folder = Path(sys.argv[1])
store = RunStore.open(folder)
report, decision = read_report(folder / "report.json"), store.decision()
started = time.process_time()
write_reports(store, report, decision)
print(time.process_time() - started)
"""
"""Writes all files of a finished run, loading Matplotlib on the way."""


def children() -> float:
    """Seconds of CPU of all child processes that are over."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def finished_run(folder: Path, n: int) -> Path:
    """A run of three replays of ``n`` answers each."""
    make_data(folder, n)
    arms = zip(("--baseline", "--optimized", "--finetuned"), range(3), strict=True)
    command = [
        *BAFT, "compare", "ba", "-q", "--dataset", str(folder / "data.jsonl"),
        "--output", str(folder / "runs"),
        *(part for name, i in arms for part in (name, f"replay:{folder / f'arm{i}.jsonl'}")),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    return next((folder / "runs").iterdir())


def written(run: Path) -> float:
    """Seconds of CPU that writing all files takes."""
    command = [sys.executable, "-c", WRITTEN, str(run)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def reported(run: Path) -> tuple[float, float]:
    """Seconds and seconds of CPU of ``baft report``: start-up, audit, decision, all files."""
    before, started = children(), time.perf_counter()
    subprocess.run([*BAFT, "report", str(run)], check=True, capture_output=True)
    return time.perf_counter() - started, children() - before


def read_in_browser(page: Path) -> str:
    """Milliseconds until the page has loaded, and until a search shows what it found."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return "no Playwright"
    if CHROMIUM is None:
        return "no Chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page()
        tab.goto(page.as_uri(), wait_until="load")
        tab.wait_for_timeout(200)
        opened = tab.evaluate(OPENED)
        first, found = tab.evaluate(FILTERED)
        again, _ = tab.evaluate(FILTERED)
        browser.close()
    return f"opens in {opened:.0f} ms, filters in {first:.0f} ms, again {again:.0f} ms ({found})"


def main() -> None:
    """For each size: make a run, write its reports again, open the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--examples", type=int, nargs="+", default=[22, 5000])
    for n in parser.parse_args().examples:
        with tempfile.TemporaryDirectory() as name:
            run = finished_run(Path(name), n)
            files = min(written(run) for _ in range(2))
            wall, cpu = reported(run)
            page = run / "report.html"
            shown = json.loads((run / "report.json").read_text(encoding="utf-8"))
            assert shown["metadata"]["num_examples"] == n
            print(
                f"3 x {n}: files {files:.1f} s of CPU; baft report {wall:.1f} s "
                f"({cpu:.1f} s of CPU); report.html {page.stat().st_size / 1e6:.2f} MB; "
                f"{read_in_browser(page)}"
            )


if __name__ == "__main__":
    main()
