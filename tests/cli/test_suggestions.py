"""A word that is nearly right is answered with the right one; shells complete the others."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from baft.cli import main

ROOT = Path(__file__).parents[2]
BAFT = [sys.executable, "-c", "import sys; sys.argv = ['baft']; import baft.cli; baft.cli.main()"]


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
        ("eval --role arch", ["architect", "architect_arch"]),
        ("data audit --role q", ["qa", "qa_report"]),
        ("compare --metric stor", ["stories_epics"]),
        ("decide last --policy str", ["strategy"]),
        ("eval --model o", ["ollama", "openai"]),
        ("compare --candidate tuned=lo", ["tuned=lora"]),
        ("--no-plugin ollama eval --model o", ["openai"]),
        ("train --trainer l", ["lora"]),
        ("optimize --optimizer m", ["mipro"]),
        (f"eval --model hf:{ROOT}/plug", [f"{ROOT}/plugins/"]),
    ],
)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands_flags_and_names(shell, typed, offered):
    words = f"baft {typed}"
    env = {
        "_BAFT_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
        "_TYPER_COMPLETE_ARGS": words,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    done = subprocess.run(
        BAFT,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert all(word in done.stdout for word in offered), done.stdout + done.stderr
    assert "promote" not in done.stdout
    assert ("ollama" in done.stdout) == ("ollama" in offered)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [("eval --ro", ["--role"]), ("eval --role pro", ["product_owner"]), ("rep", ["report"])],
)
def test_bash_completes_with_the_script_that_baft_shows(typed, offered):
    """The script defines a function, which asks baft for the words that fit."""
    words = ["baft", *typed.split()]
    script = subprocess.run(
        ["bash", "-c", "source <(_BAFT_COMPLETE=source_bash baft) && complete -p baft && "
         f"COMP_WORDS=({shlex.join(words)}) && COMP_CWORD={len(words) - 1} && "
         "_baft_completion baft && echo ${COMPREPLY[@]}"],
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert script.stdout.splitlines()[-1].split() == offered, script.stdout + script.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_there_is_a_completion_script_for_each_shell(shell):
    env = {**os.environ, "_BAFT_COMPLETE": f"source_{shell}"}
    done = subprocess.run(BAFT, env=env, capture_output=True, text=True, check=True)
    assert f"complete_{shell}" in done.stdout
    assert "_BAFT_COMPLETE" in done.stdout
