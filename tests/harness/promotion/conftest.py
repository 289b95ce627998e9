"""A project like the pipeline's, with fake models that answer from files."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pluggy
import pytest
import yaml

import baft
from baft import (
    BackendError,
    Decision,
    Decoding,
    Example,
    Field,
    Generation,
    Message,
    Prediction,
    Prompt,
    RuleResult,
    Score,
)
from baft.loader import Offer, Plugins
from baft.promotion import Actor, history, promote, rollback
from baft.records import ArmManifest, Scored
from baft.store import RunStore
from baft.store.codec import to_json

CONFIG = """\
# The pipeline's models. Edit with care.
providers:
  ollama:
    type: ollama
    base_url: http://localhost:11434   # local server
  openai:
    type: openai
  codex_cli:
    type: codex_cli
    command:
    - codex
    - exec
    extra_args:
    - -c
    - sandbox_permissions=["disk-full-access"]
    append_temperature: false

  # vertex_cli: switched off
  vertex_sdk:
    type: vertex_sdk
    location: europe-west1
    temperature: 0.2

# -------- who does what --------
roles:
  ba:
    provider: ollama        # the baseline
    model: "granite4"
    temperature: 0.4
    max_tokens: 8192
    top_p: 0.95
  architect:
    provider: ollama
    model: granite4
    output_caps:   # tokens by tier
      simple: 1500
  dev: {provider: vertex_sdk, model: gemini-2.5-pro, temperature: 0.2}
  qa:
    provider: openai
    model: gpt-4o-mini
  product_owner:
    provider: 'ollama'
    model: granite4
pipeline:
  force_approval_attempts: 3
  model_fallback:
    enabled: true
a2a:
  agents:
    qa:
      url: http://localhost:8005/
      skills: []
features:
  use_dspy_ba: false
"""

ACTOR = Actor(who="ada", host="bench", date="2026-01-02T03:04:05+00:00")


class Analyst:
    """Reads a YAML document with a title and a list."""

    name, task, metric, answer_label = "ba", "Analyse.", "ba", "yaml REQUIREMENTS"
    inputs = (Field(name="concept", description="the idea"),)
    outputs = (
        Field(name="title", description="a title"),
        Field(name="needs", description="a list", kind="list"),
    )
    words = "Concept"

    def example(self, row):
        if not row.get("concept"):
            raise ValueError("concept is missing")
        return Example(id=baft.example_id(row), inputs={"concept": row["concept"]})

    def prompt(self, example):
        text = f"{self.words}: {example.inputs['concept']}"
        return Prompt(
            example_id=example.id,
            inputs=example.inputs,
            messages=(Message(role="user", content=text),),
        )

    def target(self, example):
        raise ValueError("no reference")

    def parse(self, generation, extraction):
        try:
            found = yaml.safe_load(generation.text)
        except yaml.YAMLError:
            found = None
        if not isinstance(found, dict):
            return Prediction(fields={}, validity="none")
        return Prediction(fields=found, validity="as_is")


class Titled:
    """A metric that wants a title."""

    name, version, higher_is_better, attainable_max = "titled", 1, True, 0.9
    components: ClassVar = {"title": 0.9}

    def score(self, example, prediction):
        return Score(value=0.9 if prediction.fields.get("title") else 0.2)


class FileModel:
    """A model that answers with the text of a file; its hash is the fingerprint."""

    batch_size, max_concurrency = 1, None
    finish = "stop"

    def __init__(self, scheme, target, context):
        self.spec = f"{scheme}:{target}"
        path = Path(target.partition("?")[0])
        self.text = (path / "answer.txt").read_text() if path.is_dir() else ANSWER
        self._seed = self.text if path.is_dir() else target.partition("@")[0]

    def fingerprint(self):
        return hashlib.sha256(self._seed.encode()).hexdigest()

    def describe(self):
        return {"provider": self.spec.partition(":")[0]}

    def tokens(self, prompt):
        return [*map(ord, prompt.messages[0].content)]

    async def generate(self, prompts, decoding):
        if "DOWN" in self.text:
            raise BackendError("The model is down.", "Start it.", gone=True)
        return [
            Generation(
                example_id=prompt.example_id,
                text=self.text,
                finish_reason=self.finish,
                prompt_tokens=len(self.tokens(prompt)),
                prompt_sha256=baft.digest(self.tokens(prompt)),
            )
            for prompt in prompts
        ]

    async def close(self):
        pass


ROLES = ("ba", "architect", "dev", "qa", "product_owner")

ANSWER = "title: A shop\nneeds:\n- id: FR001\n"

RECOGNISED = {"adapter_config.json": "lora", "config.json": "hf", "program.json": "dspy"}


class House:
    """The fake plugin: role and backends."""

    @baft.hookimpl
    def baft_recognise_path(self, path):
        for name, scheme in RECOGNISED.items():
            if (path / name).is_file():
                return f"{scheme}:{path}"
        return None


def make_plugins(role=None, metric=None, model=None):
    manager = pluggy.PluginManager("baft")
    manager.add_hookspecs(baft.hookspecs)
    manager.register(House(), name="house")

    def backend(scheme):
        return Offer(
            plugin="house", factory=lambda t, context: (model or FileModel)(scheme, t, context)
        )

    schemes = ("ollama", "openai", "hf", "lora", "dspy", "replay")
    offers = {
        "backends": {scheme: backend(scheme) for scheme in schemes},
        "roles": {name: Offer(plugin="house", factory=role or Analyst) for name in ROLES},
        "metrics": {"titled": Offer(plugin="house", factory=metric or Titled)},
    }
    return Plugins(manager, offers)


@pytest.fixture
def plugins():
    return make_plugins()


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "config.yaml").write_bytes(CONFIG.encode())
    return folder


@pytest.fixture
def config(project):
    return project / "config.yaml"


@pytest.fixture
def make_model(project):
    """A model's folder inside the project, recognised by the file that names its kind."""

    def make(name="ba_lora", kind="adapter_config.json", answer=ANSWER):
        folder = project / "artifacts" / "models" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / kind).write_text("{}")
        (folder / "answer.txt").write_text(answer)
        return folder

    return make


@pytest.fixture
def make_run(project, plugins, make_manifest):
    """A decided run of two arms, whose candidate is ``spec``."""

    def make(
        spec, *, name="r1", verdict="promote", candidate="finetuned", decoding=None, **changes
    ):
        changes = {"role": "ba", "metric": "titled", **changes}
        role = plugins.role(changes["role"])
        examples = [role.example({"concept": f"A shop, number {n}"}) for n in range(3)]
        backend = plugins.open(spec, plugins.context())
        arms = (
            ArmManifest(name="baseline", spec="ollama:granite4", fingerprint="b"),
            ArmManifest(
                name="finetuned",
                spec=spec,
                fingerprint=backend.fingerprint(),
                config=backend.describe(),
            ),
        )
        manifest = make_manifest(run_id=name, decoding=decoding or Decoding(), **changes)
        manifest = replace(manifest, arms=arms)
        folder = project / "artifacts" / "runs" / name
        store = RunStore.create(folder, manifest)
        store.add_examples(examples, role.prompt)
        prompts = [role.prompt(example) for example in examples]
        answers = asyncio.run(backend.generate(prompts, manifest.decoding))
        store.add_generations("finetuned", 0, answers)
        scored = [
            Scored(
                example_id=a.example_id,
                generation=a,
                prediction=Prediction(fields={"title": "A"}, validity="as_is"),
                score=Score(value=0.9),
            )
            for a in answers
        ]
        store.add_results("finetuned", scored)
        store.close()
        passed = verdict == "promote"
        rule = RuleResult(
            name="threshold",
            passed=passed,
            observed=0.9,
            required=">= 0.8535",
            why="The mean is what it is.",
        )
        decision = Decision(
            verdict=verdict,
            conclusive=True,
            strength="clear",
            candidate=candidate,
            incumbent="baseline",
            rules=(rule,),
            next_steps=(),
            run=name,
        )
        (folder / "decision.json").write_text(to_json(decision))
        return folder

    return make


@pytest.fixture
def make_results():
    """Other scores for the examples of a run's winner."""

    def make(run, values, validity=("as_is",) * 3):
        store = RunStore.open(run)
        ids = [example.id for example in store.examples()]
        results = [
            Scored(
                example_id=id_,
                prediction=Prediction(fields={}, validity=valid),
                score=Score(value=value),
            )
            for id_, value, valid in zip(ids, values, validity, strict=True)
        ]
        store.add_results("finetuned", results)
        store.close()
        return dict(zip(ids, values, strict=True))

    return make


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
