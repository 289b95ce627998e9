"""A word that is nearly right is answered with the right one; shells complete the others."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from baft.cli import main


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["compar"], "compare"),
        (["data", "audt"], "audit"),
        (["new", "plugn"], "plugin"),
        (["compare", "--baselin", "x"], "--baseline"),
        (["data", "audit", "--max-lenth", "9"], "--max-length"),
        (["compare", "pockt"], "pocket"),
        (["eval", "--role", "architec", "--model", "replay:x"], "architect"),
        (["data", "stats", "--role", "architec", "x.jsonl"], "architect"),
        (["eval", "--role", "ba", "--model", "olama:x"], "ollama"),
        (["eval", "--role", "ba", "--model", "models/pockt"], "models/pocket"),
        (["compare", "pocket", "--metric", "ba_requirement"], "ba_requirements"),
        (["compare", "pocket", "--policy", "tresholds"], "threshold"),
        (["compare", "pocket", "--rule", "min_valid=0.5"], "min_validity"),
        (["--no-plugin", "olama", "plugins"], "ollama"),
    ],
)
def test_the_nearest_name_is_suggested(tmp_path, monkeypatch, capsys, arguments, meant):
    (tmp_path / "models" / "pocket").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    said = capsys.readouterr().err
    suggestion = said[max(said.find("Did you mean"), said.find("Possible options")) :]
    assert meant in suggestion


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("comp", ["compare"]),
        ("data s", ["stats", "split"]),
        ("new plugin x --me", ["--metric"]),
        ("compare --base", ["--baseline"]),
    ],
)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands_and_flags(shell, typed, offered):
    words = f"baft {typed}"
    env = {
        "_BAFT_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
        "_TYPER_COMPLETE_ARGS": words,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv = ['baft']; import baft.cli; baft.cli.main()"],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert all(word in done.stdout for word in offered), done.stdout + done.stderr
    assert "promote" not in done.stdout
