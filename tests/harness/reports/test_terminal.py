from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from baft.reports import render_arms, render_decision, render_summary, render_terminal

from . import sample
from .test_markdown import no_scores


@pytest.fixture
def console(monkeypatch):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    return Console(file=io.StringIO(), width=80, highlight=False)


def printed(console):
    return console.file.getvalue()


def test_it_fits_eighty_columns_without_escape_codes(report, decision, console):
    render_terminal(report, decision, {}, console)
    text = printed(console)
    assert "\x1b" not in text
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "…" not in text


def test_nothing_is_said_by_colour_alone(report, decision, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    texts = []
    for plain in (False, True):
        screen = io.StringIO()
        console = Console(
            file=screen, width=80, force_terminal=True, color_system="256", no_color=plain
        )
        render_terminal(report, decision, {}, console)
        texts.append(screen.getvalue())
    coloured, plain = texts
    assert re.search(r"\x1b\[[\d;]*3[0-7]", coloured)
    assert not re.search(r"\x1b\[[\d;]*3[0-7]", plain)  # what NO_COLOR asks for
    bare = [re.sub(r"\x1b\[[\d;]*m", "", text) for text in texts]
    assert bare[0] == bare[1]


def test_a_log_file_holds_plain_lines(report, decision, monkeypatch, tmp_path):
    for name in ("FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "log"
    with path.open("w", encoding="utf-8") as log:
        render_terminal(report, decision, {}, Console(file=log, width=80))
    text = path.read_text(encoding="utf-8")
    assert "\x1b" not in text
    assert "≥ 0.9" in text
    assert {"✓", "✗"} <= set(text)


def test_it_says_who_won_and_why(report, decision, console):
    render_terminal(report, decision, {"report.html": Path("a/report.html")}, console)
    text = printed(console)
    for part in (
        *("KEEP BASELINE", "0.9286", "0.9014", "+0.1395", "+0.054 to +0.272"),
        *("✓ threshold", "✗ complete", "finetuned lacks 1 of 22", "Next steps", "a/report.html"),
        *("Also tried: optimized", "finetuned: 1 example failed."),
    ):
        assert part in text


def test_hostile_text_is_neither_obeyed_nor_read_as_markup(report, decision, console):
    odd = replace(report, notes=(f"[bold]{sample.HOSTILE}[/nonsense] :smile:",))
    render_terminal(odd, decision, {}, console)
    text = printed(console)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\x00" not in text
    assert "[bold]" in text
    assert ":smile:" in text


def test_a_long_path_is_not_broken(report, decision, console):
    path = Path("/".join(["folder"] * 20))
    render_terminal(report, decision, {"report.html": path}, console)
    assert str(path) in printed(console)


def test_an_arm_without_scores_is_shown_without_figures(report, decision, console):
    arms = tuple(no_scores(arm) for arm in report.arms)
    render_terminal(replace(report, arms=arms, tests=()), decision, {}, console)
    assert printed(console).count("n/a") >= 3


def test_large_counts_and_long_names_fit(report, decision, console):
    arms = tuple(
        replace(
            arm,
            name=f"{arm.name}-with-a-very-long-name",
            summary=replace(arm.summary, n=30_000, failures=10_000),
        )
        for arm in report.arms
    )
    render_terminal(replace(report, arms=arms, tests=()), decision, {}, console)
    assert max(len(line) for line in printed(console).splitlines()) <= 80


def test_one_arm_has_nothing_to_differ_from(run, console):
    _, report, decision = run(n=2, arms=("model",))
    render_arms(report, console)
    render_decision(report, decision, console)
    text = printed(console)
    assert "vs " not in text
    assert "KEEP" not in text
    assert "Measured only" in text


def test_scores_without_a_run_have_their_n(console):
    metric = SimpleNamespace(name="ba_requirements", version=1, attainable_max=6.5 / 7)
    render_summary(metric, [0.5, 1.0], 3, console)
    assert "mean 0.7500 (n = 2), 3 failed; attainable 0.9286" in printed(console)
    render_summary(metric, [], 3, console)
    assert "mean n/a (n = 0)" in printed(console)
