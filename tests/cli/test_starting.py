"""What a run loads before it asks, and what it loads while it waits."""

from __future__ import annotations

import subprocess
import sys

from baft.cli import COMMANDS, running
from baft.execution import TURN_S


def python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_run_begins_without_what_reports_are_made_with():
    python(
        "import sys, baft.cli.evaluate, baft.comparison, baft.execution; "
        "bad = {'baft.reports', 'baft.audit', 'numpy', 'jinja2', 'matplotlib'} & set(sys.modules); "
        "assert not bad, bad"
    )


def test_only_the_command_that_is_meant_is_loaded():
    python(
        "import sys\nfrom baft.cli import COMMANDS, main\n"
        "try: main(['history', '--help'])\nexcept SystemExit: pass\n"
        "modules = {place.partition(':')[0] for place in COMMANDS.values()}\n"
        "loaded = {name for name in modules if f'baft.cli.{name}' in sys.modules}\n"
        "assert loaded == {'history'}, loaded"
    )


def test_every_command_stands_where_the_table_says(baft):
    for name in COMMANDS:
        code, out, _ = baft(name, "--help")
        assert code == 0
        assert f" {name} [" in out  # the usage line


def test_while_a_run_goes_on_its_end_is_made_ready():
    python(
        "import sys, time\nfrom baft.cli.running import REPORTING, loading_ahead\n"
        "from baft.reports import html, markdown\n"
        "wanted = {*REPORTING, 'matplotlib.figure', 'matplotlib.backends.backend_svg'}\n"
        "late = time.monotonic() + 120\n"
        "with loading_ahead():\n"
        "    while not wanted <= set(sys.modules) and time.monotonic() < late: time.sleep(0.01)\n"
        "assert wanted <= set(sys.modules), wanted - set(sys.modules)\n"
        "templates = [*html.environment().cache, *markdown.environment().cache]\n"
        "names = {name for _, name in templates}\n"
        "assert {'report.html', 'examples.html', 'report.md'} <= names, names"
    )


def test_a_run_that_is_over_waits_for_nothing_that_only_reports_need():
    python(
        "import sys\nfrom baft.cli.running import REPORTING, loading_ahead\n"
        "with loading_ahead(): pass\n"
        "missing = set(REPORTING) - set(sys.modules); assert not missing, missing\n"
        "assert 'matplotlib.figure' not in sys.modules"
    )


def test_what_cannot_be_loaded_ahead_is_left_to_whoever_needs_it(monkeypatch):
    monkeypatch.setattr(running, "REPORTING", ("no_such_module",))
    with running.loading_ahead():
        pass


def test_a_process_that_ends_is_not_searched_for_cycles():
    python(
        "import atexit, gc, os, sys\n"
        "atexit.register(lambda: os._exit(0 if gc.get_freeze_count() else 9))  # called last\n"
        "from baft.__main__ import main\n"
        "sys.argv = ['baft', '--version']\n"
        "main()"
    )


def test_threads_take_short_turns_while_models_are_asked_and_not_after(project, baft, monkeypatch):
    class Looking(running.RunProgress):
        def __call__(self, progress):
            turns.add(round(sys.getswitchinterval(), 6))
            super().__call__(progress)

    turns, before = set(), sys.getswitchinterval()
    monkeypatch.setattr(running, "RunProgress", Looking)
    assert baft("eval", "--model", "good.jsonl")[0] == 0
    assert (turns, sys.getswitchinterval()) == ({TURN_S}, before)
