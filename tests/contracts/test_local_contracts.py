"""The contract checks over what needs weights, a program, or a database."""

from __future__ import annotations

from pathlib import Path

import pytest

from baft.loader import load_plugins
from baft.testing import (
    FakeOllama,
    check_backend,
    check_reporter,
    check_trainer,
    make_tiny_mistral,
    prompt_of,
)

PLUGINS = load_plugins()
ARTIFACTS = Path(__file__).parents[2] / "artifacts"
WORDS = ("one", "two", "three", "four", "five", "six")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    pytest.importorskip("torch")
    return make_tiny_mistral(tmp_path_factory.mktemp("models") / "tiny")


def local(spec):
    return PLUGINS.open(spec, PLUGINS.context(device="cpu", role=PLUGINS.role("ba")))


def test_backend_hf(base, tmp_path):
    other = make_tiny_mistral(tmp_path / "other", seed=1)
    check_backend(
        lambda: local(f"hf:{base}"),
        [prompt_of(f"Say {word}.", word) for word in WORDS],
        other=lambda: local(f"hf:{other}"),
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_trainer_and_backend_lora(base, tmp_path):
    pytest.importorskip("peft")
    role = PLUGINS.role("ba")
    rows = [
        {"concept": f"a {word}", "requirements": {"title": word, "description": word}}
        for word in WORDS
    ]
    examples = [role.example(row) for row in rows]
    check_trainer(
        lambda: PLUGINS.make("trainers", "lora"),
        role,
        examples[:4],
        examples[4:],
        tmp_path,
        options={
            "base_model": str(base),
            "max_steps": 2,
            "grad_accum": 1,
            "device": "cpu",
            "max_length": 4096,
        },
        opened=lambda folder: local(f"lora:{folder}"),
    )
    check_backend(lambda: local(f"lora:{tmp_path / 'first'}"), other=lambda: local(f"hf:{base}"))


def test_backend_dspy():
    pytest.importorskip("dspy")
    role = PLUGINS.role("ba")
    prompts = [role.prompt(role.example({"concept": f"a {word}"})) for word in WORDS]
    answer = "\n".join(f"[[ ## {field.name} ## ]]\nx\n" for field in role.outputs)
    program = ARTIFACTS / "dspy" / "pocket_optimized"
    with FakeOllama(answer + "[[ ## completed ## ]]") as server:
        check_backend(
            lambda: local(f"dspy:{program}?lm=ollama:mistral:7b-instruct@{server.url}"),
            prompts,
            unreachable=lambda: local(f"dspy:{program}?lm=ollama:m@http://127.0.0.1:1"),
        )


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_reporter_mlflow(tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)  # artifacts go to ./mlruns
    (tmp_path / "runs").mkdir()
    env = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}"}
    check_reporter(lambda env: PLUGINS.make("reporters", "mlflow", env), tmp_path / "runs", env)
