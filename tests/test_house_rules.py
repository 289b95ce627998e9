"""What keeps the style page true."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import baft
from baft import hookspecs
from baft.loader import load_plugins

ROOT = Path(__file__).parents[1]
HEAVY = (
    "torch",
    "transformers",
    "peft",
    "dspy",
    "ollama",
    "openai",
    "numpy",
    "scipy",
    "rich",
    "matplotlib",
)
PACKAGES = sorted(p.parent.name for p in (ROOT / "plugins").glob("*/__init__.py"))
HOOKS = sorted(
    name for name, value in vars(hookspecs).items() if name.startswith("baft_") and callable(value)
)


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_all_is_exactly_what_is_public():
    public = {
        name
        for name, value in vars(baft).items()
        if not name.startswith("_") and not inspect.ismodule(value) and name != "annotations"
    }
    assert sorted(public, key=str.lower) == sorted(baft.__all__, key=str.lower)


@pytest.mark.parametrize("module", ["baft", "baft.cli", "baft.loader", *PACKAGES])
def test_importing_loads_no_heavy_library(module):
    loaded = python(f"import sys, {module}; print(*sys.modules)").split()
    assert not {name.split(".")[0] for name in loaded} & set(HEAVY)


def test_core_and_plugins_load_where_no_model_library_can_be_imported():
    code = (
        "import sys\n"
        f"for name in {HEAVY[:6]!r}: sys.modules[name] = None\n"
        "from baft.loader import load_plugins\n"
        "print(*[i.problem for i in load_plugins().infos])\n"
    )
    assert python(code).strip() == ""


def test_every_bundled_plugin_is_an_entry_point_and_loads():
    infos = {info.module: info.problem for info in load_plugins().infos}
    assert set(PACKAGES) <= set(infos)
    assert {infos[name] for name in PACKAGES} == {""}


def test_every_hook_is_documented_typed_and_in_the_table():
    table = (ROOT / "plugins" / "README.md").read_text(encoding="utf-8")
    for name in HOOKS:
        hook = getattr(hookspecs, name)
        arguments = ", ".join(inspect.signature(hook).parameters)
        assert hook.__doc__, name
        assert f"`{name}({arguments})`" in table, f"plugins/README.md lacks {name}({arguments})"
        assert all(p.annotation is not p.empty for p in inspect.signature(hook).parameters.values())


def test_every_hook_has_a_test():
    tests = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests").rglob("test_*.py"))
    missing = [name for name in HOOKS if not re.search(rf"def test_hook_{name}\b", tests)]
    assert missing == []


def test_every_module_opens_by_saying_what_it_is():
    for path in [*(ROOT / "harness").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), path


def test_only_the_command_line_reads_the_environment():
    for path in [*(ROOT / "harness").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]:
        if "cli" not in path.parts:
            assert "os.environ" not in re.sub(
                r'""".*?"""', "", path.read_text("utf-8"), flags=re.S
            ), path


def test_nothing_unsafe_is_loaded_without_a_flag():
    unsafe = re.compile(
        r"trust_remote_code=True|pickle\.loads?\(|torch\.load\(|shell=True|(?<![\w.])eval\("
        r"|(?<![\w])yaml\.load\((?!.*(Safe|base loader|_C|loader))"
    )
    for path in [*(ROOT / "harness").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]:
        for line in path.read_text(encoding="utf-8").splitlines():
            assert not unsafe.search(line) or "cloudpickle" in line, f"{path}: {line}"


def test_pickles_are_read_in_one_place_behind_a_flag():
    places = [
        path.name
        for path in [*(ROOT / "harness").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]
        if "pickle.load" in path.read_text(encoding="utf-8")
    ]
    assert places == ["reading.py"]
    source = (ROOT / "plugins" / "baft_dspy" / "reading.py").read_text(encoding="utf-8")
    assert source.count("_unpickle(") == 2
    assert 'path.suffix != ".json" and not allow_pickle' in source


def test_no_file_names_a_machine():
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    for name in tracked.stdout.splitlines():
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".json", ".yaml"} and path.is_file():
            found = re.search(r"(?<![\w.])/(work|root|home|opt)/[a-z]", path.read_text("utf-8"))
            assert found is None, f"{name}: {found}"


def test_every_command_and_flag_that_the_docs_name_exists():
    pages = [
        ROOT / "README.md",
        *(ROOT / "benchmarks").glob("*.md"),
        ROOT / "plugins" / "README.md",
    ]
    lines = {
        line.split("#")[0].strip()
        for page in pages
        for block in re.findall(r"^```\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
        for line in re.findall(r"^(baft [a-z].*)$", block, re.M)
    }
    assert len(lines) >= 5
    for line in lines:
        words = line.split()
        command = words[1:3] if words[1] in ("cache", "data", "new") else words[1:2]
        usage = python(f"import sys; sys.argv = ['baft', *{command!r}, '--help']; "
                       "import os; os.environ['COLUMNS'] = '200'; "
                       "from baft.cli import main; main()")  # fmt: skip
        for flag in (word for word in words if word.startswith("--")):
            assert flag in usage, line
