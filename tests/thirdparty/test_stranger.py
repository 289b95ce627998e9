"""A package from outside: installed, listed, compared, blocked, and broken on purpose."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent / "package"
NAMES = ("Ada", "Grace", "Edsger", "Barbara", "Donald", "Alan")

pytestmark = pytest.mark.slow


def install(source, target):
    """Install as anybody would, but for the network; the source stays as it is."""
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--no-index", "--no-deps", "--no-build-isolation", "--target", str(target)),
            str(source),
        ],
        check=True,
        capture_output=True,
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stranger")
    source = shutil.copytree(PACKAGE, folder / "source")
    install(source, folder / "site")
    return folder / "site"


@pytest.fixture
def site(installed, tmp_path):
    """The installed package in a copy of its own, which may be broken."""
    return shutil.copytree(installed, tmp_path / "site")


@pytest.fixture
def project(tmp_path):
    """A folder with nothing in it but a dataset."""
    folder = tmp_path / "project"
    folder.mkdir()
    rows = [{"id": name, "name": name, "greeting": f"Hello {name}!"} for name in NAMES]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def baft(site, project):
    """Runs a command in the project with the package installed."""

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "baft", *arguments],
            cwd=project,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(site)},
        )

    return run


COMPARE = (
    *("compare", "--role", "greeter", "--dataset", "rows.jsonl", "--json", "-q"),
    *("--baseline", "parrot:What?", "--candidate", "polite=parrot:Hello_NAME!"),
)


def breaks(site, module, old, new):
    path = site / "stranger" / f"{module}.py"
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def test_it_keeps_the_contracts(site, tmp_path):
    test = tmp_path / "test_contracts.py"
    test.write_text(
        "import baft\n"
        "from baft.testing import check_backend, check_metric, check_role\n"
        "from stranger.greeter import Greeter, Greeting\n"
        "from stranger.parrot import Parrot\n"
        "ROW = {'name': 'Ada', 'greeting': 'Hello Ada!'}\n"
        "def test_backend():\n"
        "    check_backend(lambda: Parrot('Hello_NAME'), other=lambda: Parrot('Bye_NAME'))\n"
        "def test_role(): check_role(Greeter(), [ROW])\n"
        "def test_metric():\n"
        "    read = baft.Prediction(fields={'greeting': 'Hello Ada!'}, validity='as_is')\n"
        "    check_metric(Greeting(), [(Greeter().example(ROW), read)])\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", str(test)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(site)},
    )
    assert "3 passed" in done.stdout, done.stdout


def test_it_is_listed_with_what_it_offers(baft):
    listed = json.loads(baft("plugins", "--json").stdout)["plugins"]
    (mine,) = [info for info in listed if info["name"] == "stranger"]
    assert mine["distribution"] == "a-stranger 3.1"
    assert mine["offers"] == ["backends:parrot", "roles:greeter", "metrics:greeting"]
    assert mine["problem"] == ""


def test_it_is_used_in_a_comparison(baft, project):
    done = baft(*COMPARE)
    assert done.returncode == 0, done.stderr
    decision = json.loads(done.stdout)
    assert (decision["verdict"], decision["candidate"]) == ("promote", "polite")
    (run,) = (project / "artifacts" / "runs").iterdir()
    report = json.loads((run / "report.json").read_text("utf-8"))
    assert report["metadata"]["metric"] == "greeting"
    assert report["models"]["polite"]["scores"]["mean"] == 1.0


def test_blocked_it_is_not_there(baft):
    done = baft(*COMPARE, "--no-plugin", "stranger")
    assert done.returncode == 2
    assert done.stderr.startswith("error: There is no")
    assert "greeter" in done.stderr
    listed = baft("plugins", "--no-plugin", "stranger").stdout
    assert "NOT LOADED: blocked by --no-plugin" in listed


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("import baft\n", "import baft\nimport not_there\n", "No module named 'not_there'"),
        ("import baft\n", "import baft\nraise SystemExit(0)\n", "SystemExit: 0"),
        ("baft_register_roles(register:", "baft_register_roles(wrong, register:", "wrong"),
        ("baft_register_roles", "baft_register_rolls", "unknown hook 'baft_register_rolls'"),
        (
            '    register("greeter", _greeter)',
            "    1 / 0",
            "baft_register_roles failed: ZeroDivisionError",
        ),
        (
            '    register("greeter", _greeter)',
            "    import sys\n    sys.exit(0)",
            "baft_register_roles failed: SystemExit: 0",
        ),
    ],
)
def test_broken_it_is_listed_with_its_reason_and_the_rest_works(baft, site, old, new, said):
    breaks(site, "__init__", old, new)
    listed = baft("plugins")
    assert listed.returncode == 0
    (line,) = [line for line in listed.stdout.splitlines() if line.startswith("stranger")]
    assert "NOT LOADED" in line
    assert said in line
    assert "ba_requirements" in listed.stdout
    used = baft(*COMPARE)
    assert used.returncode == 2
    assert "stranger" in used.stderr
    assert "baft plugins" in used.stderr


@pytest.mark.parametrize(
    ("module", "old", "new", "said"),
    [
        ("parrot", "return [self._answer(", "1 / 0\n        return [self._answer(", "ZeroDivision"),
        (
            "parrot",
            "return [self._answer(",
            "import asyncio\n        await asyncio.sleep(999)\n        return [self._answer(",
            "No answer within 1 s",
        ),
        ("parrot", "return [self._answer(prompt)", "return [prompt", "answered ['Prompt'"),
        (
            "greeter",
            "return baft.Score(value=sum(parts.values()), components=parts)",
            "return 1.0",
            "gave 1.0 and no Score",
        ),
    ],
)
def test_what_fails_while_it_runs_is_a_failure_and_no_score(baft, site, module, old, new, said):
    breaks(site, module, old, new)
    done = baft(*COMPARE, "--timeout", "1", "--retries", "0")
    assert done.returncode == 5, done.stderr
    assert said in done.stderr
    decision = json.loads(done.stdout)
    assert (decision["verdict"], decision["conclusive"]) == ("keep", False)


def test_what_it_prints_leaves_the_result_readable(baft, site):
    breaks(site, "parrot", "return [self", "print('squawk')\n        return [self")
    breaks(site, "greeter", "text = generation", "print('parsing')\n        text = generation")
    breaks(site, "__init__", "    return Greeter()", "    print('made')\n    return Greeter()")
    done = baft(*COMPARE)
    assert json.loads(done.stdout)["verdict"] == "promote"
    assert {"squawk", "parsing", "made"} <= set(done.stderr.split())


def test_a_name_that_is_taken_is_an_error_that_names_both(baft, site):
    breaks(site, "__init__", '"parrot"', '"replay"')
    assert "CLASH: The plugins 'replay' and 'stranger' both offer backend 'replay'." in (
        baft("plugins").stdout
    )
    used = baft("eval", "--role", "greeter", "--dataset", "rows.jsonl", "--model", "replay:x.jsonl")
    assert used.returncode == 2
    assert "'replay' and 'stranger' both offer backend 'replay'" in used.stderr
    assert "--no-plugin" in used.stderr
