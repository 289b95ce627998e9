"""A sweep over real adapters, and adapters that are copied."""

from __future__ import annotations

import json
import shutil

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")
pytest.importorskip("optuna")

import baft
from baft.cli import main
from baft.testing import make_tiny_mistral
from baft_lora import sources
from baft_lora.backend import LocalBackend
from baft_lora.trainer import LoraTrainer
from plugins.echo import TRAIN, Echo


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with a base model and an adapter in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "benchmarks").mkdir()
    make_tiny_mistral(tmp_path / "models" / "tiny", max_position_embeddings=8192)
    return tmp_path


def opened(adapter):
    context = baft.Context(open=lambda spec: None, device="cpu")
    return LocalBackend.open_adapter(str(adapter), context)


def test_a_copied_adapter_finds_its_base_from_its_new_place(project):
    options = {"base_model": "models/tiny", "device": "cpu", "epochs": 1}
    source, target = project / "out" / "deep" / "trial-0", project / "out"
    LoraTrainer().train(Echo(), TRAIN, [], source, options, lambda step: None)
    (target / "adapter_config.json").write_text("{}")
    LoraTrainer().copy_model(source, target)
    assert sources.adapter_config(source)["base_model_name_or_path"] == "../../../models/tiny"
    assert sources.adapter_config(target)["base_model_name_or_path"] == "../models/tiny"
    assert sources.adapter_digest(source) == sources.adapter_digest(target)
    assert not list(target.glob("checkpoint-*"))
    moved = shutil.move(project, project.parent / "moved")
    assert opened(moved / "out").describe()["base"] == "../models/tiny"


def test_a_copied_adapter_keeps_the_id_of_its_base(project):
    (project / "one").mkdir()
    (project / "one" / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": "somebody/model", "peft_type": "LORA"})
    )
    LoraTrainer().copy_model(project / "one", project / "two")
    assert sources.adapter_config(project / "two")["base_model_name_or_path"] == "somebody/model"


@pytest.mark.slow
def test_the_best_of_a_sweep_is_ready_to_answer(project, capsys):
    rows = [
        {"concept": f"A shop for {word}", "requirements": {"title": word, "description": word,
         "functional_requirements": [], "non_functional_requirements": [], "constraints": []}}
        for word in ("boats", "trains", "birds", "stamps")
    ]  # fmt: skip
    (project / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(SystemExit) as caught:
        main(["train", "--train", "data.jsonl", "--val", "data.jsonl", "--output", "out",
              "--base-model", "models/tiny", "--device", "cpu", "--epochs", "1",
              "--grad-accum", "2", "--train-limit", "2", "--val-limit", "1",
              "--sweep", "r=2,4", "--sweep", "lr=1e-4,5e-2", "--json"])  # fmt: skip
    assert not caught.value.code, capsys.readouterr().err
    record = json.loads(capsys.readouterr().out)
    values = [trial["value"] for trial in record["trials"]]
    best = record["best"]
    assert best["value"] == min(values)
    info = json.loads((project / "out" / "training_info.json").read_text())
    assert info["lora_r"] == best["options"]["lora_r"]
    assert info["learning_rate"] == best["options"]["lr"]
    assert info["best_val_loss"] == best["value"]
    assert (project / "out" / "loss_curve.png").is_file()
    trial = project / "out" / f"trial-{best['trial']}"
    assert opened(project / "out").fingerprint() == opened(trial).fingerprint()
