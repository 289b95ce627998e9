"""``baft new plugin``: every kind of package works as it is written."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

from baft import UsageError
from baft.cli import main
from baft.cli.new import KINDS, write_plugin

ROOT = Path(__file__).parents[2]


def new(*arguments):
    with pytest.raises(SystemExit) as caught:
        main(["new", "plugin", *arguments])
    return caught.value.code


def test_it_says_what_it_made_and_what_to_do_next(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert new("my-shout", "--backend") == 0
    said = capsys.readouterr().out
    made = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file())
    assert sorted(f"made  {path}" for path in made) == sorted(said.splitlines()[:-1])
    assert said.endswith('Next: cd baft-my-shout && pip install -e ".[dev]" && pytest\n')
    project = tomllib.loads((tmp_path / "baft-my-shout" / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["baft"] == {"my_shout": "baft_my_shout"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["shout"], "of one kind, not of 0"),
        (["shout", "--role", "--rule"], "of one kind, not of 2"),
        (["Shout", "--rule"], "'Shout' cannot be the name"),
        (["../x", "--rule"], "'../x' cannot be the name"),
        (["class", "--rule"], "'class' cannot be the name"),
        (["a" * 21, "--rule"], "cannot be the name of a plugin"),
        (["ollama", "--rule"], "There is a plugin named 'ollama' already"),
        (["baft-ollama", "--rule"], "There is a plugin named 'ollama' already"),
        (["shout", "--rule", "--output", "taken"], "There is something at taken already"),
        (["shout", "--rule", "--output", "file"], "There is something at file already"),
    ],
)
def test_what_cannot_be_made_is_refused_and_leaves_nothing(
    tmp_path, monkeypatch, capsys, arguments, said
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("x")
    (tmp_path / "file").write_text("x")
    before = sorted(tmp_path.rglob("*"))
    assert new(*arguments) == 2
    assert said in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="cannot be written"):
        write_plugin(tmp_path / "file" / "below", "shout", "rule")


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The interpreter of a new environment that sees what is installed here."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    here = sysconfig.get_path("purelib")
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "here.pth").write_text(f"import site; site.addsitedir({here!r})\n")
    return folder / "bin" / "python"


def run(*command, cwd, **env):
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **env},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_installed_its_tests_pass_and_baft_lists_it(tmp_path, python, kind):
    folder = tmp_path / "package"
    write_plugin(folder, f"my_{kind}", kind)
    run(
        *(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *("--no-index", "--no-deps", "--no-build-isolation", "--editable", "."),
        cwd=folder,
    )
    assert " passed" in run(python, "-m", "pytest", "-W", "error", cwd=folder)
    listed = run(python, "-m", "baft", "plugins", cwd=tmp_path)
    assert f"{KINDS[kind].hook}:my_{kind}" in listed


@pytest.mark.slow
def test_every_kind_is_typed_and_formatted_whatever_its_name(tmp_path):
    for length in (1, 20):
        for number, kind in enumerate(KINDS):
            name = "abcdefghijklmnopqrstuvwxyz"[number:][:length]
            write_plugin(tmp_path / name, name, kind)
    ruff = Path(sysconfig.get_path("scripts")) / "ruff"
    run(ruff, "check", "--no-cache", ".", cwd=tmp_path)
    run(ruff, "format", "--no-cache", "--check", ".", cwd=tmp_path)
    sources = sorted(str(path) for path in tmp_path.glob("?/src/*"))
    tests = sorted(str(path) for path in tmp_path.glob("?/tests/*.py"))
    assert (len(sources), len(tests)) == (6, 6)
    paths = os.pathsep.join([str(ROOT / "harness"), *(str(p) for p in tmp_path.glob("?/src"))])
    run(
        *(sys.executable, "-m", "mypy", "--strict", "--explicit-package-bases"),
        *("--no-incremental", "--follow-imports", "silent", *sources, *tests),
        cwd=tmp_path,
        MYPYPATH=paths,
    )
