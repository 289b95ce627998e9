"""A promotion happens whole or not at all, is recorded once, and can be taken back."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import itertools
import os
import stat
import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest
import yaml

from baft import BackendError, DataError, Decoding, UsageError
from baft.promotion import history, in_service, promote, read_config, rollback
from baft.promotion.ledger import Ledger

from .conftest import ACTOR, CONFIG, Analyst, make_plugins


@pytest.fixture
def adopt(plugins, project, config):
    def adopt(run, **changes):
        given = {"run": run, "config": config, "project": project, "by": ACTOR, "env": {}}
        return promote(changes.pop("plugins", plugins), **{**given, **changes})

    return adopt


@pytest.fixture
def undo(plugins, project, config):
    def undo(role="ba", **changes):
        given = {"role": role, "config": config, "project": project, "by": ACTOR}
        return rollback(plugins, **{**given, **changes})

    return undo


@pytest.fixture
def winner(make_model, make_run):
    return make_run(f"lora:{make_model()}")


def is_untouched(config, project):
    assert config.read_bytes() == CONFIG.encode()
    assert history(project) == []
    leftovers = [p.name for p in config.parent.iterdir() if p.name.startswith(".config")]
    assert leftovers == []
    return True


def test_the_winner_is_in_service_and_recorded(adopt, winner, config, project, plugins):
    done = adopt(winner)

    found = in_service(read_config(config), "ba", plugins)
    assert found == done.service
    assert (found.temperature, found.max_tokens) == (0.7, 2048)
    [record] = history(project)
    assert record == done.promotion
    assert record.role == "ba"
    assert record.arm == "finetuned"
    assert record.spec == f"lora:{project}/artifacts/models/ba_lora"
    assert record.run == "artifacts/runs/r1"
    assert record.config == "config.yaml"
    assert record.who == "ada"
    assert record.host == "bench"
    assert record.policy["threshold"] == 0.8535
    assert not record.forced
    assert record.sha256_after == read_config(config).sha256
    assert (project / record.backup).read_bytes() == CONFIG.encode()


def test_the_winner_was_asked_with_the_decoding_of_the_run(adopt, make_model, make_run):
    run = make_run(f"lora:{make_model()}", decoding=Decoding(temperature=0.0, max_tokens=99))

    done = adopt(run)

    assert done.servability.finish_reason == "stop"
    assert done.servability.validity == "as_is"
    assert done.servability.is_evaluated
    assert done.service.temperature == 0.0
    assert done.service.max_tokens == 99


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


def test_another_model_than_the_evaluated_one_is_refused(
    adopt, winner, make_model, config, project
):
    other = make_model("other", answer="title: Other\n")

    with pytest.raises(UsageError, match="not the model that was evaluated"):
        adopt(winner, spec=f"lora:{other}")
    assert is_untouched(config, project)


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        ("title: A shop # CUT\n", UsageError, "was cut off"),
        ("no document\n", UsageError, "holds no document"),
        ("DOWN", BackendError, "is down"),
    ],
)
def test_a_winner_that_cannot_serve_is_refused(
    adopt, make_model, make_run, config, project, answer, error, message
):
    run = make_run(f"lora:{make_model(answer=answer)}")

    with pytest.raises(error, match=message):
        adopt(run)
    assert is_untouched(config, project)


def test_a_winner_whose_files_vanished_is_refused(adopt, winner, project, config):
    folder = project / "artifacts" / "models" / "ba_lora"
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()

    with pytest.raises(UsageError, match="There is nothing at"):
        adopt(winner)
    assert is_untouched(config, project)


def test_another_prompt_than_the_evaluated_one_is_refused(adopt, winner, config, project):
    class Changed(Analyst):
        words = "The concept"

    with pytest.raises(UsageError, match="renders another prompt"):
        adopt(winner, plugins=make_plugins(Changed))
    assert is_untouched(config, project)


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


def test_a_read_only_file_is_refused(adopt, winner, config, project):
    config.chmod(0o444)

    with pytest.raises(DataError, match="is read-only") as caught:
        adopt(winner)
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


class Killed(BaseException):
    """Stands for a process that is gone: no handler of ours may catch it."""


@pytest.mark.parametrize("call", ["mkstemp", "fsync", "replace", "chmod", "unlink"])
@pytest.mark.parametrize("nth", range(1, 8))
def test_killed_at_any_step_the_file_is_whole_and_the_record_true(
    adopt, winner, config, project, monkeypatch, call, nth
):
    import tempfile

    new = adopt_on_a_copy(adopt, winner, config)
    module = tempfile if call == "mkstemp" else os
    real, calls = getattr(module, call), []

    def dying(*arguments, **options):
        calls.append(arguments)
        if len(calls) == nth:
            raise Killed
        return real(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(module, call, dying)
        with contextlib.suppress(Killed):
            adopt(winner)
    found = config.read_bytes()
    assert found in (CONFIG.encode(), new)
    assert len(history(project)) == (found == new)
    if found != new:
        adopt(winner)
    assert config.read_bytes() == new
    assert len(history(project)) == 1


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


def test_rollback_restores_the_bytes_and_is_recorded(adopt, undo, winner, config, project):
    adopt(winner)

    record = undo()

    assert config.read_bytes() == CONFIG.encode()
    assert history(project)[1] == record
    assert (record.action, record.arm, record.spec) == ("rollback", "1", "ollama:granite4")
    assert (
        yaml.safe_load((project / record.backup).read_bytes())["roles"]["ba"]["max_tokens"] == 2048
    )


def test_there_is_nothing_to_roll_back_twice(adopt, undo, winner):
    adopt(winner)
    undo()

    with pytest.raises(UsageError, match="No promotion of ba stands"):
        undo()


def test_a_rollback_of_an_unknown_role_names_the_role(undo):
    with pytest.raises(DataError, match=r"no entry roles\.bq"):
        undo("bq")


def test_rollbacks_go_back_step_by_step(adopt, undo, make_model, make_run, config):
    bytes_ = []
    for name in ("one", "two"):
        adopt(make_run(f"lora:{make_model(name, answer=f'title: {name}')}", name=name))
        bytes_.append(config.read_bytes())

    assert undo().arm == "2"
    assert config.read_bytes() == bytes_[0]
    assert undo().arm == "1"
    assert config.read_bytes() == CONFIG.encode()
    adopt(config.parent / "artifacts" / "runs" / "two")
    assert config.read_bytes() != CONFIG.encode()
    assert undo().arm == "5"
    assert config.read_bytes() == CONFIG.encode()


def test_a_rollback_knows_the_fingerprint_of_what_it_restores(adopt, undo, make_model, make_run):
    first = adopt(make_run(f"lora:{make_model('one', answer='title: one')}", name="one"))
    adopt(make_run(f"lora:{make_model('two', answer='title: two')}", name="two"))

    record = undo()

    assert record.spec == first.promotion.spec
    assert record.fingerprint == first.promotion.fingerprint


def test_a_file_changed_since_is_not_rolled_back_without_force(adopt, undo, winner, config):
    adopt(winner)
    mine = config.read_bytes() + b"# mine\n"
    config.write_bytes(mine)

    with pytest.raises(UsageError, match="was changed by someone else since promotion 1") as caught:
        undo()
    assert "--force" in caught.value.hint
    assert config.read_bytes() == mine

    record = undo(force=True)
    assert config.read_bytes() == CONFIG.encode()
    assert record.forced
    assert (config.parent / record.backup).read_bytes() == mine


def test_a_file_broken_since_can_still_be_rolled_back(adopt, undo, winner, config):
    adopt(winner)
    config.write_text("roles: [\n")

    undo(force=True)

    assert config.read_bytes() == CONFIG.encode()


def test_a_later_promotion_of_another_role_stands_in_the_way(
    adopt, undo, plugins, project, config, make_model, make_run
):
    adopt(make_run(f"lora:{make_model()}"))
    ledger = Ledger(project)
    before = read_config(config)
    raw = before.raw.replace(b"gpt-4o-mini", b"gpt-5")
    later = replace(
        history(project)[0],
        role="qa",
        sha256_before=before.sha256,
        sha256_after=hashlib.sha256(raw).hexdigest(),
        backup=ledger.shown(ledger.back_up(before.raw, config)),
    )
    ledger.commit(later, config.resolve(), raw)

    with pytest.raises(UsageError, match=r"changed by promotion 2 \(qa\)"):
        undo("ba")
    assert undo("qa").arm == "2"
    assert undo("ba").arm == "1"
    assert config.read_bytes() == CONFIG.encode()


def test_a_damaged_backup_is_refused(adopt, undo, winner, config, project):
    record = adopt(winner).promotion
    (project / record.backup).write_text("roles: {}\n")
    after = config.read_bytes()

    with pytest.raises(DataError, match="missing or damaged"):
        undo(force=True)
    assert config.read_bytes() == after


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
