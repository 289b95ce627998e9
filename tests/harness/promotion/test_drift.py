"""What is in service is compared with what was promoted."""

from __future__ import annotations

import json
import shutil

import pytest

from baft import BackendError
from baft.promotion import in_service, overrides, promote, read_config, rollback, status

from .conftest import ACTOR, CONFIG, FileModel, make_plugins


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


def test_missing_evidence_is_unknown_and_the_settings_are_still_known(look, promoted, config):
    shutil.rmtree(promoted)
    config.write_text(config.read_text().replace("temperature: 0.7", "temperature: 0.2"))

    found = look()
    assert texts(found, "unknown") == ["The evidence artifacts/runs/r1 is gone."]
    assert texts(found, "drift") == ["temperature is 0.2, but 0.7 was measured."]


def test_a_record_of_before_has_its_settings_in_the_evidence(look, promoted, config, project):
    path = project / "artifacts" / "promotions.jsonl"
    record = json.loads(path.read_text())
    for key in ("decision", "decoding", "to"):
        del record[key]
    record["spec"] = f"lora:{project}/artifacts/models/ba_lora"
    path.write_text(json.dumps(record) + "\n")

    assert not look().has_drifted
    shutil.rmtree(promoted)
    assert "max_tokens are unverified" in texts(look(), "unknown")[0]


@pytest.mark.parametrize(
    ("old", "new"),
    [("append_model: false", "append_model: true"), ("--pipeline", "--json"), ("codex_cli", "x")],
)
def test_an_edited_provider_is_drift(look, promoted, config, old, new):
    head, tail = config.read_text().split("  huggingface_local:\n")
    config.write_text(head + "  huggingface_local:\n" + tail.replace(old, new, 1))

    assert texts(look(), "drift") == [
        "providers.huggingface_local was edited: it does not serve the model any more."
    ]


def test_a_longer_timeout_is_no_drift(look, promoted, config):
    config.write_text(config.read_text().replace("timeout: 600", "timeout: 1800"))

    assert not look().has_drifted


def test_a_moved_project_has_not_drifted(look, promoted, project, tmp_path):
    moved = project.rename(tmp_path / "moved")

    found = look(config=moved / "config.yaml", project=moved)

    assert [finding.kind for finding in found.findings] == ["ok"]


@pytest.mark.parametrize("error", [BackendError("It is down."), ZeroDivisionError()])
def test_what_cannot_be_asked_is_unknown(promoted, project, config, error):
    class Down(FileModel):
        def fingerprint(self):
            raise error

    found, *_ = status(make_plugins(model=Down), config=config, project=project, env={})

    assert "cannot be asked" in texts(found, "unknown")[0]
    assert not found.has_drifted


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
    ("role", "env", "expected"),
    [
        ("ba", {"OLLAMA_BASE_URL": "http://gpu"}, ["OLLAMA_BASE_URL"]),
        ("ba", {"OLLAMA_HOST": "gpu:11434"}, ["OLLAMA_HOST"]),
        ("ba", {"OLLAMA_HOST": "127.0.0.1:11434"}, []),
        ("ba", {"OPENAI_API_BASE": "http://gpu"}, []),
        ("qa", {"OPENAI_API_BASE": "http://user:secret@gpu"}, ["OPENAI_API_BASE"]),
        ("qa", {"OPENAI_API_BASE": "https://api.openai.com/v1"}, []),
        ("ba", {}, []),
    ],
)
def test_environment_variables_that_override_are_named(look, config, role, env, expected):
    found = texts(look(role, env=env), "drift")

    assert [text.split(" in the")[0] for text in found] == expected
    assert "secret" not in "".join(found)


@pytest.mark.parametrize(
    ("enabled", "count"), [("true", 1), ("yes", 1), ("false", 0), ("off", 0), ("[", 0)]
)
def test_an_enabled_recommender_is_named(look, project, enabled, count):
    (project / "config").mkdir()
    (project / "config" / "model_recommender.yaml").write_text(f"enabled: {enabled}\n")

    found = texts(look(), "drift")
    assert len(found) == count


@pytest.mark.parametrize(
    ("role", "features", "env", "count"),
    [
        ("ba", "use_dspy_ba: true", {}, 1),
        ("ba", "use_dspy_ba: false", {}, 0),
        ("ba", "use_dspy_ba: off", {}, 0),
        ("ba", "other: 1", {}, 1),
        ("architect", "other: 1", {}, 0),
        ("architect", "use_dspy_architect: true", {}, 1),
        ("architect", "use_dspy_architect: true", {"USE_DSPY_ARCHITECT": "off"}, 0),
        ("architect", "use_dspy_architect: false", {"USE_DSPY_ARCHITECT": "1"}, 1),
        ("product_owner", "use_dspy_po: true", {}, 1),
        ("product_owner", "use_dspy_product_owner: yes", {}, 1),
        ("product_owner", "use_dspy_product_owner: no", {"USE_DSPY_PO": "true"}, 1),
    ],
)
def test_a_flag_that_bypasses_the_command_is_named(
    plugins, config, make_model, role, features, env, count
):
    folder = make_model()
    entry = f"{role}: {{provider: huggingface_local, model: {folder}}}"
    config.write_text(f"roles: {{{entry}}}\nfeatures: {{{features}}}\n")
    found = read_config(config)

    assert len(overrides(found, in_service(found, role, plugins), env)) == count


def test_a_file_without_features_is_not_the_pipelines(plugins, config, make_model):
    config.write_text(f"roles: {{ba: {{provider: huggingface_local, model: {make_model()}}}}}\n")
    found = read_config(config)

    assert overrides(found, in_service(found, "ba", plugins), {}) == []
