"""Whatever happens to the file meanwhile: other writers, rights, links, kills and full disks."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap

import pytest
import yaml

from baft import DataError
from baft.promotion import history, read_config
from baft.promotion.ledger import Ledger

from .conftest import CONFIG, Analyst, FileModel, is_untouched, make_plugins


def test_a_file_that_changes_meanwhile_is_left_alone(adopt, winner, config, project):
    class Meddling(Analyst):
        def parse(self, generation, extraction):
            config.write_text("# mine\n" + CONFIG)
            return super().parse(generation, extraction)

    with pytest.raises(DataError, match="changed by someone else since it was read"):
        adopt(winner, plugins=make_plugins(Meddling))
    assert config.read_text() == "# mine\n" + CONFIG
    assert history(project) == []


def test_an_edit_at_the_last_moment_is_not_lost(adopt, winner, config, project, monkeypatch):
    chmod = os.chmod

    def edited(path, mode):
        if os.path.basename(path).startswith(".config.yaml."):
            config.write_text("# mine\n" + CONFIG)
        chmod(path, mode)

    with monkeypatch.context() as patched:
        patched.setattr(os, "chmod", edited)
        with pytest.raises(DataError, match="changed by someone else since it was read"):
            adopt(winner)
    assert config.read_text() == "# mine\n" + CONFIG
    assert history(project) == []
    assert [path.name for path in project.iterdir() if path.name.startswith(".")] == []


def test_a_read_only_file_is_refused(adopt, winner, config, project):
    config.chmod(0o444)

    class Unasked(FileModel):
        async def generate(self, prompts, decoding):
            raise AssertionError("asked in vain")

    with pytest.raises(DataError, match="is read-only") as caught:
        adopt(winner, plugins=make_plugins(model=Unasked))
    assert "chmod u+w" in caught.value.hint
    assert is_untouched(config, project)


def test_the_mode_stays(adopt, winner, config):
    config.chmod(0o640)
    adopt(winner)

    assert stat.S_IMODE(config.stat().st_mode) == 0o640


def test_a_backup_is_as_private_as_the_file(adopt, winner, config, project):
    config.chmod(0o600)
    record = adopt(winner).promotion

    assert stat.S_IMODE((project / record.backup).stat().st_mode) == 0o600


def test_a_symbolic_link_is_followed(adopt, winner, config, project):
    real = project / "settings" / "real.yaml"
    real.parent.mkdir()
    config.rename(real)
    config.symlink_to(real)

    adopt(winner)

    assert config.is_symlink()
    assert "huggingface_local" in real.read_text()
    assert history(project)[0].config == "settings/real.yaml"


CHANGES = {"os.rename", "os.remove", "os.chmod", "os.chown", "os.mkdir", "os.truncate"}
"""What Python tells of before it does it; opening and flushing are looked at below."""


def killed_at(nth, work):
    """Do ``work`` in a process that is killed before its ``nth`` step on the disk; True if it was.

    It is a kill that nothing can catch: no handler runs, no file is tidied up.
    """
    child = os.fork()
    if not child:
        steps = itertools.count(1)

        def step(event, arguments):
            writes = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if (writes or event in CHANGES) and next(steps) == nth:
                os.kill(os.getpid(), signal.SIGKILL)

        flush = os.fsync
        os.fsync = lambda handle: (step("os.truncate", ()), flush(handle))
        sys.addaudithook(step)
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_killed_at_any_step_the_file_is_whole_and_the_record_true(adopt, winner, config, project):
    new = adopt_on_a_copy(adopt, winner, config)
    seen = {CONFIG.encode(): 0, new: 0}
    for nth in itertools.count(1):
        was_killed = killed_at(nth, lambda: adopt(winner))
        found = config.read_bytes()
        seen[found] += was_killed  # anything else is a KeyError
        assert len(history(project)) == (found == new), nth
        if found != new:
            adopt(winner)
        assert config.read_bytes() == new, nth
        assert len(history(project)) == 1, nth
        assert [p.name for p in project.iterdir() if p.name.startswith(".")] == [], nth
        if not was_killed:
            break
        config.write_bytes(CONFIG.encode())
        shutil.rmtree(project / "artifacts" / "promotions")
        (project / "artifacts" / "promotions.jsonl").unlink()
    assert min(seen.values()) > 1, seen


def adopt_on_a_copy(adopt, winner, config):
    """The bytes that a promotion leaves."""
    diff = adopt(winner, dry_run=True).diff.splitlines(keepends=True)
    lines, new, at = CONFIG.splitlines(keepends=True), [], 0
    for line in diff[2:]:
        if line.startswith("@@"):
            start = int(line.split()[1].split(",")[0][1:]) - 1
            new += lines[at:start]
            at = start
        elif line.startswith("+"):
            new.append(line[1:])
        else:
            new += [line[1:]] if line.startswith(" ") else []
            at += 1
    return "".join(new + lines[at:]).encode()


@pytest.mark.parametrize("call", ["fsync", "replace", "chmod"])
@pytest.mark.parametrize("nth", range(1, 5))
def test_a_full_disk_leaves_the_file_whole(adopt, winner, config, project, monkeypatch, call, nth):
    real, calls = getattr(os, call), []

    def full(*arguments, **options):
        calls.append(arguments)
        if len(calls) >= nth:
            raise OSError(28, "No space left on device")
        return real(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, call, full)
        with contextlib.suppress(DataError):
            adopt(winner)
    changed = config.read_bytes() != CONFIG.encode()
    assert len(history(project)) == changed
    assert yaml.safe_load(config.read_bytes())


def test_a_full_disk_is_named(adopt, winner, config, project, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(DataError, match="No space left on device") as caught:
            adopt(winner)
    assert "Free some space" in caught.value.hint
    assert is_untouched(config, project)


def test_two_processes_at_once_leave_two_true_records(make_model, make_run, project, config):
    for name in ("a", "b"):
        make_run(f"lora:{make_model(name, answer=f'title: {name} shop')}", name=name)
    script = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        sys.path.insert(0, sys.argv[3])
        from promotion.conftest import ACTOR, make_plugins
        from baft import DataError
        from baft.promotion import promote
        project = Path(sys.argv[1])
        while True:
            try:
                promote(make_plugins(), run=project / "artifacts/runs" / sys.argv[2],
                        config=project / "config.yaml", project=project, by=ACTOR, env={})
                break
            except DataError as error:
                assert "since it was read" in str(error), error
        """
    )
    tests = str(os.path.dirname(os.path.dirname(__file__)))
    both = [
        subprocess.Popen([sys.executable, "-c", script, str(project), name, tests])
        for name in ("a", "b", "a", "b")
    ]

    assert [process.wait(timeout=60) for process in both] == [0, 0, 0, 0]
    records = history(project)
    assert sorted(record.run[-1] for record in records) == ["a", "a", "b", "b"]
    for earlier, later in itertools.pairwise(records):
        assert later.sha256_before == earlier.sha256_after
    assert read_config(config).sha256 == records[-1].sha256_after


def test_a_second_writer_waits_and_then_gives_up(adopt, winner, project, monkeypatch):
    monkeypatch.setattr("baft.store.appending.LOCK_TIMEOUT_S", 0.05)

    with Ledger(project).locked(), pytest.raises(DataError, match="Another baft is changing"):
        adopt(winner)
