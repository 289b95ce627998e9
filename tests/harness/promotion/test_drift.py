"""What is in service is compared with what was promoted."""

from __future__ import annotations

import shutil

import pytest

from baft.promotion import overrides, promote, read_config, rollback, status

from .conftest import ACTOR, CONFIG


@pytest.fixture
def look(plugins, project, config):
    def look(role="ba", **changes):
        given = {"config": config, "project": project, "env": {}, "roles": (role,)}
        return status(plugins, **{**given, **changes})[0]

    return look


@pytest.fixture
def promoted(plugins, project, config, make_model, make_run):
    run = make_run(f"lora:{make_model()}")
    promote(plugins, run=run, config=config, project=project, by=ACTOR, env={})
    return run


def texts(found, kind):
    return [finding.text for finding in found.findings if finding.kind == kind]


def test_what_was_promoted_and_not_touched_is_ok(look, promoted):
    found = look()

    assert [finding.kind for finding in found.findings] == ["ok"]
    assert found.number == 1
    assert not found.has_drifted


def test_a_role_that_was_never_promoted_is_no_drift(look):
    found = look("qa")

    assert found.number is None
    assert found.findings == ()


def test_every_role_of_the_file_is_looked_at(look, plugins, config, project):
    found = status(plugins, config=config, project=project, env={})

    roles = ["ba", "architect", "dev", "qa", "product_owner"]
    assert [one.service.role for one in found] == roles


def test_edited_settings_are_drift(look, promoted, config):
    text = config.read_text().replace("temperature: 0.7", "temperature: 0.2")
    config.write_text(text.replace("max_tokens: 2048", "max_tokens: 64"))

    assert texts(look(), "drift") == [
        "temperature is 0.2, but 0.7 was measured.",
        "max_tokens is 64, but 2048 was measured.",
    ]


def test_another_model_is_drift(look, promoted, config):
    config.write_text(CONFIG)

    assert "ollama:granite4 is in service, but lora:" in texts(look(), "drift")[0]


def test_changed_weights_are_drift(look, promoted, project):
    (project / "artifacts/models/ba_lora/answer.txt").write_text("title: another\n")

    assert "fingerprints differ" in texts(look(), "drift")[0]
    assert texts(look(check_digests=False), "drift") == []


def test_missing_files_are_drift(look, promoted, project):
    shutil.rmtree(project / "artifacts/models/ba_lora")

    assert "There is nothing at" in texts(look(), "drift")[0]


def test_missing_evidence_is_unknown_and_not_fine(look, promoted):
    shutil.rmtree(promoted)

    assert "unverified" in texts(look(), "unknown")[0]


def test_after_a_rollback_the_earlier_promotion_counts(
    look, plugins, project, config, promoted, make_model, make_run
):
    second = make_run(f"lora:{make_model('two', answer='title: 2')}", name="two")
    promote(plugins, run=second, config=config, project=project, by=ACTOR, env={})
    assert look().number == 2

    rollback(plugins, role="ba", config=config, project=project, by=ACTOR)

    assert look().number == 1
    assert not look().has_drifted


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"OLLAMA_BASE_URL": "http://gpu"}, ["OLLAMA_BASE_URL=http://gpu"]),
        ({"OPENAI_API_BASE": "http://gpu"}, []),
        ({}, []),
    ],
)
def test_environment_variables_that_override_are_named(look, config, env, expected):
    found = texts(look(env=env), "drift")

    assert [text.split(" in the")[0] for text in found] == expected


@pytest.mark.parametrize(("enabled", "count"), [("true", 1), ("false", 0), ("[", 0)])
def test_an_enabled_recommender_is_named(look, project, enabled, count):
    (project / "config").mkdir()
    (project / "config" / "model_recommender.yaml").write_text(f"enabled: {enabled}\n")

    found = texts(look(), "drift")
    assert len(found) == count


def test_a_dspy_flag_that_bypasses_the_command_is_named(look, promoted, config):
    config.write_text(config.read_text().replace("use_dspy_ba: false", "use_dspy_ba: true"))

    service = look().service
    assert "use_dspy_ba is on" in overrides(read_config(config), service, {})[0]
