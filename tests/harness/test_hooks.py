"""Every hook as a stranger's plugin uses it, in a real comparison."""

from __future__ import annotations

import json

import pytest

from baft.loader import load_plugins, tell

LISTENER = """
import baft, json, pathlib
def _note(name, **said):
    with open({log!r}, "a") as out:
        out.write(json.dumps([name, {{k: str(v) for k, v in said.items()}}]) + "\\n")

@baft.hookimpl
def {hook}({arguments}):
    _note({hook!r}, {said})
"""


@pytest.fixture
def listen(tmp_path, install):
    """Installs a plugin that notes what one hook was told; returns what was noted."""
    log = tmp_path / "log"

    def listen(hook, arguments, said):
        source = LISTENER.format(log=str(log), hook=hook, arguments=arguments, said=said)
        install("listener", source)

        def noted():
            return [json.loads(line)[1] for line in log.read_text().splitlines()]

        return noted

    return listen


def test_hook_baft_register_backends(install, compare):
    install(
        "own",
        "import baft\n"
        "class Own:\n"
        "    spec, batch_size, max_concurrency = 'own:x', 2, None\n"
        "    def fingerprint(self): return 'own'\n"
        "    def describe(self): return {}\n"
        "    async def generate(self, prompts, decoding):\n"
        "        return [baft.Generation(example_id=p.example_id, text='title: mine')\n"
        "                for p in prompts]\n"
        "    async def close(self): pass\n"
        "@baft.hookimpl\n"
        "def baft_register_backends(register): register('own', lambda t, c: Own())\n",
    )
    outcome, _ = compare(own="own:x")
    assert outcome.report.arm("own").summary.n == 6


def test_hook_baft_register_roles(install):
    install(
        "own",
        "import baft\nfrom baft_ba.role import BusinessAnalyst\n"
        "class Role(BusinessAnalyst):\n    name = 'own'\n@baft.hookimpl\n"
        "def baft_register_roles(register): register('own', Role)\n",
    )
    assert load_plugins().role("own").name == "own"


def test_hook_baft_register_metrics(install):
    install(
        "own",
        "import baft\nclass Metric:\n    name, version, higher_is_better = 'own', 1, True\n"
        "    attainable_max, components = 1.0, {}\n"
        "    def score(self, example, prediction): return baft.Score(value=1.0)\n@baft.hookimpl\n"
        "def baft_register_metrics(register): register('own', Metric)\n",
    )
    assert load_plugins().metric("own").name == "own"


@pytest.mark.parametrize(
    ("kind", "does"), [("trainers", "train"), ("optimizers", "optimize"), ("commands", "__call__")]
)
def test_hook_registering_makers_and_commands(install, kind, does):
    install(
        "own",
        f"import baft\nclass Own:\n    def {does}(self): return 'done'\n@baft.hookimpl\n"
        f"def baft_register_{kind}(register): register('own', Own)\n",
    )
    assert getattr(load_plugins().make(kind, "own"), does)() == "done"


def test_hook_baft_register_trainers():
    assert "lora" in load_plugins().names("trainers")


def test_hook_baft_register_optimizers():
    assert "mipro" in load_plugins().names("optimizers")


def test_hook_baft_register_commands(install, capsys):
    from baft.cli import main

    install(
        "own",
        "import baft\ndef hello(name: str = 'you'):\n    print('hello', name)\n@baft.hookimpl\n"
        "def baft_register_commands(register): register('hello', lambda: hello)\n",
    )
    with pytest.raises(SystemExit) as caught:
        main(["hello", "--name", "me"])
    assert (caught.value.code, capsys.readouterr().out) == (0, "hello me\n")


def test_hook_baft_register_gate_rules(install, compare):
    install(
        "own",
        "import baft\n"
        "def never(report, policy, candidate, incumbent):\n"
        "    return baft.RuleResult(name='never', passed=False, observed=None, required='-',\n"
        "                           why='Never.')\n"
        "@baft.hookimpl\n"
        "def baft_register_gate_rules(register): register('never', lambda: never)\n",
    )
    outcome, _ = compare()
    assert outcome.decision.verdict == "keep"
    assert "never" in [rule.name for rule in outcome.decision.rules]


def test_hook_baft_register_reporters(install, compare):
    install(
        "own",
        "import baft\n"
        "def report(report, decision, run):\n"
        "    path = run / 'own.txt'\n"
        "    path.write_text(decision.verdict)\n"
        "    yield path\n"
        "@baft.hookimpl\n"
        "def baft_register_reporters(register): register('own', lambda env: report)\n",
    )
    outcome, _ = compare()
    assert outcome.paths["own: own.txt"].read_text() == "promote"


def test_hook_baft_register_executors(install, compare):
    install(
        "own",
        "import baft\n"
        "from baft.executors import ask_here\n"
        "class Backwards:\n"
        "    def __init__(self, options): assert options == {'a': 'b'}\n"
        "    async def ask(self, work, deliver):\n"
        "        print('asked', work.spec, len(work.prompts))\n"
        "        prompts = work.prompts[::-1]\n"
        "        await ask_here(work.backend, prompts, work.decoding, work.limits, deliver)\n"
        "    async def close(self): print('closed')\n"
        "@baft.hookimpl\n"
        "def baft_register_executors(register): register('backwards', Backwards)\n",
    )
    here, _ = compare()
    there, _ = compare(options={"executor": "backwards?a=b"})
    assert [arm.scores for arm in there.report.arms] == [arm.scores for arm in here.report.arms]


def test_hook_baft_register_exporters(install):
    install(
        "own",
        "import baft\n"
        "class Shelf:\n"
        "    def __init__(self, host, env): self.host = host\n"
        "    def check(self, name, options): self.name = name\n"
        "    def export(self, model, name, form, options, log): return f'own:{name}@{self.host}'\n"
        "@baft.hookimpl\n"
        "def baft_register_exporters(register): register('own', Shelf)\n",
    )
    shelf = load_plugins().make("exporters", "own", "box", {})
    assert shelf.export(None, "tuned", None, {}, print) == "own:tuned@box"


def test_a_reporter_that_raises_is_reported_and_changes_nothing(install, compare):
    install(
        "own",
        "import baft\n"
        "def report(report, decision, run): raise OSError('no space')\n"
        "@baft.hookimpl\n"
        "def baft_register_reporters(register): register('own', lambda env: report)\n",
    )
    outcome, said = compare()
    assert outcome.decision.verdict == "promote"
    assert said == ["Reporter 'own' failed: OSError: no space."]


def test_hook_baft_recognise_path(install, tmp_path):
    install(
        "own",
        "import baft\n@baft.hookimpl\ndef baft_register_backends(register):\n"
        "    register('own', lambda t, c: t)\n@baft.hookimpl\ndef baft_recognise_path(path):\n"
        "    return f'own:{path}' if (path / 'own.txt').exists() else None\n",
    )
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "own.txt").write_text("")
    assert load_plugins().resolve(str(tmp_path / "model"))[0] == "own"


def test_hook_baft_run_started(listen, compare):
    noted = listen("baft_run_started", "run, manifest", "run=run, role=manifest['role']")
    compare()
    assert [n["role"] for n in noted()] == ["ba"]


def test_hook_baft_example_scored(listen, compare):
    noted = listen("baft_example_scored", "arm, scored", "arm=arm, id=scored.example_id")
    compare()
    assert len(noted()) == 12
    assert {n["arm"] for n in noted()} == {"baseline", "new"}


def test_hook_baft_run_finished(listen, compare):
    noted = listen("baft_run_finished", "report", "n=report.num_examples")
    compare()
    assert noted() == [{"n": "6"}]


def test_hook_baft_decision_made(listen, compare):
    noted = listen("baft_decision_made", "decision", "verdict=decision.verdict")
    compare()
    assert noted() == [{"verdict": "promote"}]


def test_hook_baft_candidate_promoted(listen):
    noted = listen("baft_candidate_promoted", "promotion", "promotion=promotion")
    tell(load_plugins(), "baft_candidate_promoted", print, promotion="p", env={})
    assert noted() == [{"promotion": "p"}]


def test_hook_baft_training_logged(listen, tmp_path):
    noted = listen("baft_training_logged", "output, step", "step=step['step']")
    tell(load_plugins(), "baft_training_logged", print, output=tmp_path, step={"step": 3})
    assert noted() == [{"step": "3"}]


def test_a_listener_that_raises_changes_no_score(install, compare):
    install("bad", "import baft\n@baft.hookimpl\ndef baft_example_scored(run): 1 / 0\n")
    outcome, said = compare()
    assert outcome.decision.verdict == "promote"
    assert "Plugin 'bad' failed in baft_example_scored: ZeroDivisionError" in said[0]
