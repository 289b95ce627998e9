"""A promotion happens whole or not at all, is recorded once, and can be taken back."""

from __future__ import annotations

import contextlib
import difflib
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

from baft import DataError, Decoding, UsageError
from baft.promotion import history, in_service, read_config, status
from baft.promotion.ledger import Ledger

from .conftest import CONFIG, ROLES, Analyst, FileModel, is_untouched, make_plugins


def test_the_winner_is_in_service_and_recorded(adopt, winner, config, project, plugins):
    done = adopt(winner)

    found = in_service(read_config(config), "ba", plugins)
    assert found == done.service
    assert (found.temperature, found.max_tokens) == (0.7, 2048)
    [record] = history(project)
    assert record == done.promotion
    assert record.role == "ba"
    assert record.arm == "finetuned"
    assert record.spec == "lora:artifacts/models/ba_lora"
    assert record.run == "artifacts/runs/r1"
    assert record.decision.rules[0].required == ">= 0.8535"
    assert (record.decision.verdict, record.decision.run) == ("promote", "r1")
    assert record.decoding == Decoding()
    assert record.config == "config.yaml"
    assert record.who == "ada"
    assert record.host == "bench"
    assert record.policy["threshold"] == 0.8535
    assert not record.forced
    assert record.sha256_after == read_config(config).sha256
    assert (project / record.backup).read_bytes() == CONFIG.encode()


def test_a_dry_run_shows_the_diff_and_changes_nothing(adopt, winner, config, project):
    done = adopt(winner, dry_run=True)

    assert is_untouched(config, project)
    assert done.promotion is None
    assert "-    provider: ollama        # the baseline\n" in done.diff
    assert "+    provider: huggingface_local        # the baseline\n" in done.diff
    assert adopt(winner).diff == done.diff


def test_a_diff_marks_the_missing_line_break(adopt, winner, config):
    config.write_text("roles:\n  ba:\n    provider: ollama\n    model: x", newline="")

    assert "\\ No newline at end of file\n" in adopt(winner, dry_run=True).diff


def test_keep_is_refused_without_force(adopt, make_model, make_run, config, project):
    run = make_run(f"lora:{make_model()}", verdict="keep")

    with pytest.raises(UsageError, match="verdict of r1 is keep") as caught:
        adopt(run)

    assert "--force" in caught.value.hint
    assert is_untouched(config, project)


def test_a_forced_promotion_says_so(adopt, make_model, make_run, project):
    adopt(make_run(f"lora:{make_model()}", verdict="keep"), force=True)

    assert history(project)[0].forced


def test_a_replay_needs_the_servable_model(adopt, make_run, make_model, tmp_path, project, config):
    run = make_run(f"replay:{tmp_path}/colab.jsonl")

    with pytest.raises(UsageError, match="generated elsewhere") as caught:
        adopt(run)
    assert "--as SPEC" in caught.value.hint
    assert is_untouched(config, project)

    done = adopt(run, spec=f"lora:{make_model()}")
    assert done.service.provider == "huggingface_local"
    assert not done.servability.is_evaluated


def test_a_winner_whose_files_vanished_is_refused(adopt, winner, project, config):
    folder = project / "artifacts" / "models" / "ba_lora"
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()

    with pytest.raises(UsageError, match="There is nothing at"):
        adopt(winner)
    assert is_untouched(config, project)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("roles:\n  ba: {model: a}\n  ba: {model: b}\n", "line 3: .*duplicate key", "Remove one"),
        ("roles:\n  ba: {model: [}\n", "line 2: not valid YAML", "Mend the file"),
        ("roles:\n  qa: {model: a}\n", r"no entry roles\.ba", "add `roles: {ba:"),
        ("providers: {}\n", "no `roles` section", "baft init"),
        ("", "is not a mapping", "baft init"),
    ],
    ids=["duplicate keys", "invalid YAML", "missing role", "no roles", "empty"],
)
@pytest.mark.parametrize("dry_run", [False, True])
def test_a_file_that_is_not_as_it_must_be_stays_as_it_is(
    adopt, winner, config, project, text, message, hint, dry_run
):
    config.write_text(text)

    with pytest.raises(DataError, match=message) as caught:
        adopt(winner, dry_run=dry_run)
    assert hint in caught.value.hint
    assert config.read_text() == text
    assert history(project) == []


def test_a_missing_file_is_not_made(adopt, winner, config, project):
    config.unlink()

    with pytest.raises(DataError, match="There is no configuration at"):
        adopt(winner)
    assert not config.exists()


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("is_pipeline", [True, False])
def test_every_role_can_be_promoted_and_taken_back(
    adopt, undo, make_model, make_run, plugins, config, role, is_pipeline
):
    before = CONFIG if is_pipeline else f"# mine\nroles:\n  {role}:\n    model: x\n"
    config.write_text(before)

    done = adopt(make_run(f"lora:{make_model()}", role=role))

    assert in_service(read_config(config), role, plugins).provider == "huggingface_local"
    command = yaml.safe_load(config.read_text())["providers"]["huggingface_local"]["command"]
    assert command == ["baft", "ask", "--role", role, "--pipeline"]
    assert done.promotion.role == role
    [found] = status(plugins, config=config, project=config.parent, env={}, roles=(role,))
    assert [finding.kind for finding in found.findings] == ["ok"]
    assert undo(role).role == role
    assert config.read_text() == before


def test_a_run_without_a_decision_is_refused(adopt, winner):
    (winner / "decision.json").unlink()

    with pytest.raises(DataError, match="has no decision yet"):
        adopt(winner)


def test_a_decision_without_a_candidate_is_refused(adopt, make_run, make_model):
    run = make_run(f"lora:{make_model()}", verdict="keep", candidate=None)

    with pytest.raises(UsageError, match="names no candidate"):
        adopt(run, force=True)


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


def test_a_winner_in_service_already_is_recorded_without_a_change(adopt, winner, config, project):
    adopt(winner)
    before = config.read_bytes()

    done = adopt(winner)

    assert done.diff == ""
    assert config.read_bytes() == before
    assert len(history(project)) == 2


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


def test_a_torn_line_of_a_killed_writer_is_mended(adopt, winner, project):
    path = project / "artifacts" / "promotions.jsonl"
    adopt(winner)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"action": "prom')

    assert len(history(project)) == 1
    adopt(winner)
    assert len(history(project)) == 2
    assert path.read_bytes().startswith(whole)


def test_a_broken_line_in_the_history_is_named(adopt, winner, project):
    adopt(winner)
    path = project / "artifacts" / "promotions.jsonl"
    path.write_bytes(b"{}\n" + path.read_bytes())

    with pytest.raises(DataError, match=r"promotions\.jsonl, line 1 does not hold a Promotion"):
        history(project)


def test_a_project_without_promotions_has_no_history(tmp_path):
    assert history(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_the_diff_is_what_changed(adopt, winner, config):
    done = adopt(winner)

    added = [line[1:] for line in done.diff.splitlines() if line.startswith("+")][1:]
    found = difflib.ndiff(CONFIG.splitlines(), config.read_text().splitlines())
    assert added == [line[2:] for line in found if line.startswith("+ ")]
