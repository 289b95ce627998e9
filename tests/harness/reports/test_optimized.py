"""What an optimization left in a folder, as `baft optimize --show` prints it."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from baft.cli import main
from baft.errors import DataError
from baft.reports.optimized import read_optimized, render_optimized

from .test_charts import SEARCH

DEMO = {"concept": "A \x1b[31mred\x1b[0m shop", "title": "x" * 300, "augmented": True}
COMPONENTS = {"modules": {"generate": {"instructions": "Do\nit \x1b]0;t\x07[b]well[/b].",
                                       "demos": [DEMO]}}}  # fmt: skip


def write(folder, **files):
    for name, value in files.items():
        (folder / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
    return folder


def shown(folder, width=80):
    text = io.StringIO()
    render_optimized(read_optimized(folder), Console(file=text, width=width))
    return text.getvalue()


@pytest.fixture
def folder(tmp_path):
    info = {**SEARCH, "lm": "ollama:m\x1b[2J:7b", "date": "2026-11-22T18:47:23+00:00"}
    costs = [{**trial, "instructions": "Do it.", "demos": 1, "tokens": 12345, "minutes": 1.26}
             for trial in SEARCH["trials"]]  # fmt: skip
    return write(
        tmp_path, optimization_info={**info, "trials": costs}, program_components=COMPONENTS
    )


def test_trials_are_listed_with_best_and_baseline_marked(folder):
    rows = [line.split() for line in shown(folder).splitlines()]
    assert ["1", "0.5000", "20", "#1", "1", "12,345", "1.3", "baseline"] in rows
    assert ["3", "0.7500", "20", "#1", "1", "12,345", "1.3", "★", "best"] in rows
    assert ["5", "n/a", "20", "#1", "1", "12,345", "1.3"] in rows


def test_instructions_are_whole_and_demonstrations_shortened(folder):
    text = shown(folder, width=200)
    lines = [line.strip() for line in text.splitlines()]
    assert lines[lines.index("Instructions") + 1 :][:2] == ["Do", "it [b]well[/b]."]
    assert "1 concept: A red shop" in text
    assert f"title: {'x' * 100} … 200 more" in text
    assert "augmented" not in text


def test_nothing_breaks_out_or_is_wider_than_the_terminal(folder):
    text = shown(folder)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_program_of_dspys_own_is_shown_without_trials(tmp_path):
    saved = {"generate": {"signature": {"instructions": "Say it."}, "demos": []}, "metadata": {}}
    text = shown(write(tmp_path, program=saved) / "program.json")
    assert "Say it." in text
    assert "No trials are told of" in text


def test_a_folder_with_neither_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds neither"):
        read_optimized(tmp_path)
    write(tmp_path, program=[1])
    with pytest.raises(DataError, match="another shape"):
        read_optimized(tmp_path)


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return ended.value.code


def test_the_command_shows_it_and_needs_nothing_else(folder, capsys):
    assert run("optimize", "--show", str(folder), "--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert data["modules"]["generate"]["demos"] == [DEMO]
    assert data["info"]["best_trial"] == 3
    assert run("optimize", "--show", str(folder)) == 0
    assert "★ best" in capsys.readouterr().out
    assert run("optimize") == 2
    assert "--train, --lm and --output are needed" in capsys.readouterr().err
