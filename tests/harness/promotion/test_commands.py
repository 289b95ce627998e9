"""The commands around a promotion: results on stdout, the rest on stderr."""

from __future__ import annotations

import io
import json
import shutil

import pytest
import typer
import typer.core

from baft import UsageError, hookimpl
from baft.cli.ask import ask
from baft.cli.common import State
from baft.cli.history import history
from baft.cli.promote import promote
from baft.cli.rollback import rollback
from baft.cli.status import status

from .conftest import ANSWER, CONFIG, make_plugins


class Listening:
    def __init__(self):
        self.told = []

    @hookimpl
    def baft_candidate_promoted(self, promotion):
        self.told.append(promotion.action)


@pytest.fixture
def listening():
    return Listening()


@pytest.fixture
def ctx(project, listening):
    plugins = make_plugins()
    plugins.manager.register(listening, name="listening")
    state = State(project_option=project, _plugins=plugins)
    return typer.Context(typer.core.TyperCommand("baft"), obj=state)


@pytest.fixture
def winner(make_model, make_run):
    return make_run(f"lora:{make_model()}")


def test_the_story_of_a_promotion(ctx, winner, config, capsys, listening):
    promote(ctx, winner)
    said = capsys.readouterr()
    assert "now serves ba" in said.out
    assert "+    provider: huggingface_local" in said.out
    assert "checking" in said.err

    status(ctx)
    assert "promotion 1" in capsys.readouterr().out

    ask(ctx, "A shop")
    assert capsys.readouterr().out == ANSWER + "\n"

    rollback(ctx, "ba")
    assert "promotion 1 is undone; ollama:granite4 serves ba again" in capsys.readouterr().out
    assert config.read_bytes() == CONFIG.encode()

    history(ctx)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "promote finetuned" in lines[0]
    assert "rollback of 1" in lines[1]
    assert listening.told == ["promote", "rollback"]


def test_a_dry_run_prints_the_diff_only(ctx, winner, config, capsys, listening):
    promote(ctx, winner, dry_run=True)

    assert capsys.readouterr().out.startswith("--- a/config.yaml\n+++ b/config.yaml\n")
    assert config.read_bytes() == CONFIG.encode()
    assert listening.told == []


def test_json_results_are_json(ctx, winner, capsys):
    promote(ctx, winner, json=True)
    promoted = json.loads(capsys.readouterr().out)
    assert promoted["promotion"]["role"] == "ba"
    assert promoted["servability"]["validity"] == "as_is"

    history(ctx, json=True)
    assert json.loads(capsys.readouterr().out)[0]["number"] == 1

    status(ctx, ["ba"], json=True)
    [found] = json.loads(capsys.readouterr().out)
    assert found["has_drifted"] is False

    ask(ctx, "A shop", json=True)
    assert json.loads(capsys.readouterr().out)["prediction"]["fields"]["title"] == "A shop"

    rollback(ctx, "ba", json=True)
    assert json.loads(capsys.readouterr().out)["action"] == "rollback"


def test_a_run_may_be_named_by_its_id(ctx, winner, capsys):
    from pathlib import Path

    promote(ctx, Path("r1"), dry_run=True)

    assert capsys.readouterr().out


def edit(old, new):
    def change(project, state):
        path = project / "config.yaml"
        path.write_text(path.read_text().replace(old, new))

    return change


def write(name, text):
    def change(project, state):
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (edit("max_tokens: 2048", "max_tokens: 64"), "max_tokens is 64, but 2048 was measured."),
        (edit("temperature: 0.7", "temperature: 1"), "temperature is 1.0, but 0.7 was measured."),
        (edit("artifacts/models/ba_lora", "o/m"), "hf:o/m is in service, but lora:"),
        (edit("append_model: false", "append_model: true"), "huggingface_local was edited"),
        (edit("use_dspy_ba: false", "use_dspy_ba: true"), "use_dspy_ba is on"),
        (
            write("config/model_recommender.yaml", "enabled: true"),
            "recommender.yaml is enabled",
        ),
        (write("artifacts/models/ba_lora/answer.txt", "title: b"), "fingerprints differ"),
        (
            lambda project, state: shutil.rmtree(project / "artifacts/models/ba_lora"),
            "There is nothing at",
        ),
    ],
)
def test_drift_exits_with_3(ctx, winner, project, capsys, change, said):
    promote(ctx, winner)
    status(ctx, ["ba"])  # does not exit
    capsys.readouterr()
    change(project, ctx.obj)

    with pytest.raises(typer.Exit) as caught:
        status(ctx, ["ba"])

    assert caught.value.exit_code == 3
    told = [line for line in capsys.readouterr().out.splitlines() if "  drift: " in line]
    assert said in told[0]


def test_a_variable_that_overrides_exits_with_3(ctx, make_run, capsys):
    promote(ctx, make_run("ollama:granite4"))
    status(ctx, ["ba"])
    ctx.obj.env["OLLAMA_BASE_URL"] = "http://gpu:11434"

    with pytest.raises(typer.Exit) as caught:
        status(ctx, ["ba"])

    assert caught.value.exit_code == 3
    assert "drift: OLLAMA_BASE_URL in the environment overrides" in capsys.readouterr().out


def test_an_earlier_promotion_comes_back(ctx, make_model, make_run, config, capsys):
    for name in ("one", "two"):
        promote(ctx, make_run(f"lora:{make_model(name, answer=f'title: {name}')}", name=name))
    capsys.readouterr()

    rollback(ctx, to=1)

    out = capsys.readouterr().out
    assert out == "back to promotion 1; lora:artifacts/models/one serves ba again\n"
    assert "models/one" in config.read_text()
    history(ctx)
    assert "rollback to 1" in capsys.readouterr().out.splitlines()[2]


def test_the_pipelines_command_reads_json_and_answers_in_its_block(ctx, capsys, monkeypatch):
    request = {"user": "CONCEPT:\nA shop\n\nFollow the exact output format.", "temperature": 0.1}
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(request)))

    ask(ctx, pipeline=True)

    said = capsys.readouterr()
    assert said.out.startswith("```yaml REQUIREMENTS\ntitle: A shop\n")
    assert said.err == ""


def test_a_question_may_come_from_stdin(ctx, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("A shop"))

    ask(ctx, "-")

    assert capsys.readouterr().out == ANSWER + "\n"


def test_nothing_asked_is_an_error(ctx):
    with pytest.raises(UsageError, match="Nothing was asked"):
        ask(ctx)


def test_escape_sequences_of_a_model_do_not_reach_the_terminal(ctx, config, make_model, capsys):
    make_model(answer="title: \x1b[31mred")
    model = "{provider: huggingface_local, model: artifacts/models/ba_lora}"
    config.write_text(f"roles: {{ba: {model}}}")

    ask(ctx, "A shop")

    assert capsys.readouterr().out == "title: red\n"


def test_an_empty_history_says_so_on_stderr(ctx, capsys):
    history(ctx)

    said = capsys.readouterr()
    assert said.out == ""
    assert "Nothing was promoted yet" in said.err
