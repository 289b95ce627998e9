"""Where a base model comes from: a folder or the local cache, safetensors only, nothing fetched."""

from __future__ import annotations

import json
import shutil
import socket

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

import baft
from baft.testing import make_tiny_mistral
from baft_lora import sources
from baft_lora.backend import LocalBackend
from baft_lora.trainer import LoraTrainer

from .echo import TRAIN, VAL, Echo

REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_tiny_mistral(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def calls(monkeypatch):
    """Every address that somebody tries to reach; none is reached."""
    tried = []

    def refuse(*address, **options):
        tried.append(address)
        raise OSError("no network here")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tried


@pytest.fixture
def cache(base, tmp_path, monkeypatch):
    """A hub cache that holds ``someone/tiny``, laid out as huggingface_hub lays it out."""
    from huggingface_hub import constants

    model = tmp_path / "hub" / "models--someone--tiny"
    shutil.copytree(base, model / "snapshots" / REVISION)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(REVISION)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return model


def train(base, output, **options):
    options = {"base_model": str(base), "max_steps": 1, "device": "cpu"} | options
    return LoraTrainer().train(Echo(), TRAIN, VAL, output, options, lambda step: None)


def test_a_hub_id_is_found_in_the_local_cache(cache, calls, tmp_path):
    info = train("someone/tiny", tmp_path / "out")
    assert calls == []
    assert info["base_model"] == "someone/tiny"
    assert info["base_revision"] == REVISION
    assert sources.adapter_config(tmp_path / "out")["base_model_name_or_path"] == "someone/tiny"
    context = baft.Context(open=lambda spec: None, device="cpu")
    told = LocalBackend.open_adapter(str(tmp_path / "out"), context).describe()
    assert told["base"] == "someone/tiny"
    assert calls == []


def test_a_missing_checkpoint_comes_with_three_steps(cache, calls, tmp_path):
    with pytest.raises(baft.DataError, match="someone/absent") as caught:
        train("someone/absent", tmp_path / "out")
    hint = caught.value.hint
    steps = [
        "(1) On a machine with internet: hf download someone/absent --local-dir absent.",
        "(2) Copy that folder here.",
        "(3) Then give --base-model FOLDER.",
        "--allow-download",
    ]
    places = [hint.index(step) for step in steps]
    assert places == sorted(places)
    assert calls == []
    assert not (tmp_path / "out").exists()


def test_the_network_is_asked_only_if_that_is_allowed(cache, calls, tmp_path):
    with pytest.raises(baft.DataError, match="not found on the hub") as caught:
        train("someone/absent", tmp_path / "out", allow_download=True)
    assert calls
    assert "(1) On a machine with internet" in caught.value.hint


def test_a_cache_that_lacks_the_weights_is_told_so(cache, calls, tmp_path):
    (cache / "snapshots" / REVISION / "model.safetensors").unlink()
    with pytest.raises(baft.DataError, match="no safetensors weights"):
        train("someone/tiny", tmp_path / "out")
    assert calls == []


def test_training_opens_no_pickle(base, tmp_path):
    copy = shutil.copytree(base, tmp_path / "copy")
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(baft.DataError, match="no safetensors weights") as caught:
        train(copy, tmp_path / "out")
    assert "is a pickle" in caught.value.hint


def test_training_runs_no_code_of_the_model(base, tmp_path):
    copy = shutil.copytree(base, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    auto = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    (copy / "config.json").write_text(json.dumps(config | {"auto_map": auto}))
    (copy / "evil.py").write_text("raise SystemExit('ran')")
    assert train(copy, tmp_path / "known")["steps"] == 1  # the class that transformers has
    stranger = config | {"model_type": "stranger", "auto_map": auto}
    (copy / "config.json").write_text(json.dumps(stranger))
    with pytest.raises(baft.DataError, match="cannot read"):
        train(copy, tmp_path / "unknown")


def test_an_adapter_and_its_checkpoints_are_safetensors(base, tmp_path):
    train(base, tmp_path / "out")
    assert (tmp_path / "out" / "adapter_model.safetensors").is_file()
    assert (tmp_path / "out" / "checkpoint-1" / "adapter_model.safetensors").is_file()
    assert not list((tmp_path / "out").glob("*.bin"))
