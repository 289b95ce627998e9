"""``baft export`` as a user runs it, against a server that runs the model it was sent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")
pytest.importorskip("ollama")

from baft.testing import Answer, FakeModel, FakeOllama
from baft_lora import loading
from baft_lora.sampling import decode

ROOT = Path(__file__).parents[2]
ADAPTER = ROOT / "artifacts" / "finetuning" / "pocket-ba-lora"
BASE = ROOT / "artifacts" / "models" / "pocket"
WORDS = "I will not say."


class Runner:
    """Answers with the model that was uploaded, prompted by the template that came with it."""

    def __init__(self, folder):
        self._folder = folder
        self._loaded = {}

    def __call__(self, asked):
        made = self.server.models[f"{asked.model}:latest"]
        model, tokenizer = self._loaded.get(made.digest) or self._load(made)
        text = made.render(asked.body["messages"])
        settings = json.loads(self.server.store.blobs[made.files["tokenizer_config.json"]])
        begin = settings["bos_token"] if settings["add_bos_token"] else ""
        ids = tokenizer(begin + text, add_special_tokens=False).input_ids
        options = asked.body["options"]
        with loading.few_threads(0):
            (answer,) = decode(
                model,
                [ids],
                temperature=options["temperature"],
                seed=options["seed"],
                limits=[options["num_predict"]],
                stop_ids={tokenizer.eos_token_id},
                stopped=lambda: False,
            )
        whole = tokenizer.decode(answer, skip_special_tokens=True)
        return Answer(text=whole, finish_reason="stop", prompt_tokens=len(ids))

    def _load(self, made):
        folder = self._folder / made.digest
        folder.mkdir()
        for name, digest in made.files.items():
            (folder / name).write_bytes(self.server.store.blobs[digest])
        model = loading.load_weights(folder, dtype="float32", device="cpu")
        self._loaded[made.digest] = model, loading.load_tokenizer(folder)
        return self._loaded[made.digest]


@pytest.fixture
def server(tmp_path):
    runner = Runner(tmp_path)
    with FakeOllama(runner) as server:
        runner.server = server
        yield server


@pytest.fixture
def contest(project):
    """The benchmark ``tuned``: the pocket model plain and fine-tuned."""
    (project / "benchmarks" / "tuned.toml").write_text(
        'version = 1\nrole = "ba"\ndataset = "val.jsonl"\nmetric = "ba_requirements"\n'
        "[decoding]\nmax_tokens = 1024\n[policy]\nthreshold = 0.1\naudit = false\n"
        f'[models]\nbaseline = "hf:{BASE}"\nfinetuned = "lora:{ADAPTER}"\n'
    )
    return project


def last_run(project):
    return sorted((project / "artifacts" / "runs").iterdir())[-1]


@pytest.mark.slow
def test_a_run_is_exported_scored_as_served_and_can_be_promoted(contest, baft, server):
    assert baft("compare", "tuned", "--limit", "2", "--device", "cpu")[0] == 0
    to = ("--to", "ollama", "--name", "ba-tuned", "--host", server.url)
    code, out, err = baft("export", "last", *to, "--arm", "finetuned", "--device", "cpu", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["spec"] == f"ollama:ba-tuned@{server.url}"
    assert found["loss"] == 0  # the same weights, prompt, seed and sampling
    assert found["test"]["n"] == 2
    merged = contest / "artifacts" / "exports" / "pocket-ba-lora"
    assert (merged / "model.safetensors").is_file()
    decision = json.loads((last_run(contest) / "decision.json").read_text())
    assert (decision["incumbent"], decision["candidate"]) == ("baseline", "exported")
    assert decision["verdict"] == "promote"
    assert "baft promote" in err
    config = contest / "config.yaml"
    code, _, err = baft("promote", "last", "--config", config)
    assert code == 0, err
    assert "model: ba-tuned" in config.read_text()
    assert server.url in config.read_text()


@pytest.mark.slow
def test_a_served_model_that_lost_too_much_is_refused(contest, baft, server):
    given = ("export", ADAPTER, "--benchmark", "tuned", "--limit", "1", "--device", "cpu")
    to = ("--to", "ollama", "--name", "ba-tuned", "--host", server.url)
    server.answers = Answer(status=400, error="broken model")
    code, _, err = baft(*given, *to)
    assert code == 5
    assert "could not be scored" in err
    server.answers = WORDS
    code, out, err = baft(*given, *to, "--overwrite")
    assert code == 4, err
    assert "exported scores 0.0000, -" in out
    assert "more than the 0.02 that may be lost" in out
    assert "Next: baft promote" not in err


@pytest.mark.slow
def test_a_model_that_the_run_did_not_measure_is_not_exported(contest, baft, tmp_path):
    baft("compare", "tuned", "--limit", "1", "--device", "cpu")
    path = last_run(contest) / "run.json"
    path.write_text(path.read_text().replace(f"lora:{ADAPTER}", f"hf:{BASE}"))
    code, _, err = baft("export", "last", tmp_path / "out", "--arm", "finetuned")
    assert code == 2
    assert "not the model that the run measured" in err
    assert not (tmp_path / "out").exists()


def test_merged_stops_before_any_server(contest, baft, tmp_path):
    code, out, err = baft("export", "--to", "merged", f"lora:{ADAPTER}", tmp_path / "out")
    assert (code, out) == (0, f"hf:{tmp_path / 'out'}\n"), err
    code, out, _ = baft("export", ADAPTER, tmp_path / "out", "--json")
    assert json.loads(out)["dtype"] == "float32"
    code, _, err = baft("export", ADAPTER, tmp_path / "out", "--dtype", "bf16")
    assert code == 2
    assert "not empty" in err


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("nothing",), "no run 'nothing'"),
        (("ollama:granite4",), "its weights are not here"),
        ((ADAPTER, "--to", "nowhere", "--name", "x"), "no exporter named 'nowhere'"),
        ((ADAPTER, "--to", "ollama"), "needs a name"),
        ((ADAPTER, "--to", "ollama", "--name", "a b"), "no name for a model"),
        (
            (ADAPTER, "--to", "ollama", "--name", "x", "--benchmark", "no"),
            "no benchmark named 'no'",
        ),
        ((ADAPTER, "--to", "ollama", "--name", "x", "--host", "http://h:p"), "cannot be read"),
        ((ADAPTER, "--dtype", "int4"), "no dtype 'int4'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_merged(contest, baft, arguments, why):
    code, _, err = baft("export", *arguments)
    assert code == 2
    assert why in err
    assert not (contest / "artifacts" / "exports").exists()


def test_a_replayed_arm_has_no_weights(project, baft):
    baft("compare", "small")
    code, _, err = baft("export", "last", "--arm", "finetuned")
    assert code == 2
    assert "is a replay" in err
    assert "baft export lora:DIR" in err
    code, _, err = baft("export", "last", "--arm", "tuned")
    assert code == 2
    assert "Did you mean 'finetuned'?" in err


def test_a_taken_name_and_a_server_that_is_down_are_seen_first(contest, baft):
    with FakeOllama(models={"x:latest": FakeModel()}) as server:
        given = ("export", ADAPTER, "--to", "ollama", "--name", "x", "--benchmark", "tuned")
        code, _, err = baft(*given, "--host", server.url)
        assert code == 2
        assert "--overwrite" in err
    code, _, err = baft(*given, "--host", "127.0.0.1:1")
    assert code == 5
    assert "No Ollama server answers" in err
    assert not (contest / "artifacts" / "exports").exists()
