"""A promotion happens whole or not at all, is recorded once, and can be taken back."""

from __future__ import annotations

import difflib

import pytest
import yaml

from baft import DataError, Decoding, UsageError
from baft.promotion import history, in_service, read_config, status

from .conftest import CONFIG, ROLES, is_untouched


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


def test_a_winner_in_service_already_is_recorded_without_a_change(adopt, winner, config, project):
    adopt(winner)
    before = config.read_bytes()

    done = adopt(winner)

    assert done.diff == ""
    assert config.read_bytes() == before
    assert len(history(project)) == 2


def test_the_diff_is_what_changed(adopt, winner, config):
    done = adopt(winner)

    added = [line[1:] for line in done.diff.splitlines() if line.startswith("+")][1:]
    found = difflib.ndiff(CONFIG.splitlines(), config.read_text().splitlines())
    assert added == [line[2:] for line in found if line.startswith("+ ")]
