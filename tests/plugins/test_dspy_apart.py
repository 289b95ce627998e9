"""Programs beside one another: no answer crosses, nothing is shared, all of it is kept."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from baft import Context, Decoding, Generation, Policy, Prompt
from baft.engine import Job, run_arm, scoring_pool
from baft.loader import load_plugins
from baft.records import ArmManifest, Limits, Manifest
from baft.store import RunStore
from baft.testing import Answer, Asked, FakeOpenAI, Fault

dspy = pytest.importorskip("dspy")

from baft_dspy import program  # noqa: E402
from baft_dspy.backend import open_backend  # noqa: E402
from cook import ECHO as ROLE  # noqa: E402

FIELDS = {
    "title": "Appointments for a clinic",
    "description": "Patients book, move and cancel appointments: by phone or in the browser. " * 2,
    "functional_requirements": "- id: FR001\n  description: Book\n  priority: High\n"
    "- id: FR002\n  description: Cancel\n  priority: Low",
    "non_functional_requirements": "- id: NFR001\n  description: Fast\n  priority: High\n"
    "- id: NFR002\n  description: Safe\n  priority: High",
    "constraints": "- id: C001\n  description: Cheap\n  priority: High\n"
    "- id: C002\n  description: Soon\n  priority: Low",
}


class Named:
    """Answers with its own name, the instructions it got and the word it was asked."""

    batch_size, max_concurrency = 1, None

    def __init__(self, name: str) -> None:
        self.spec, self.name = f"fake:{name}", name

    def fingerprint(self) -> str:
        return self.name

    def describe(self) -> dict[str, Any]:
        return {"provider": "fake"}

    async def generate(self, prompts: Any, decoding: Decoding) -> list[Generation]:
        await asyncio.sleep(0.002 * (hash(prompts[0].example_id) % 5))
        return [self._answer(prompt, decoding) for prompt in prompts]

    def _answer(self, prompt: Prompt, decoding: Decoding) -> Generation:
        task = prompt.messages[0].content.splitlines()[-1].strip()
        word = prompt.messages[-1].content.split("\n")[1]
        text = f"[[ ## title ## ]]\n{self.name} {task} {word}\n\n[[ ## tail ## ]]\n{decoding.seed}"
        return Generation(example_id=prompt.example_id, text=text)

    async def close(self) -> None:
        pass


def opened(folder: Path, model: Any, made: Any = None, role: Any = ROLE) -> Any:
    program.save(made or program.build(role), role, folder)
    return open_backend(f"{folder}?lm={model.spec}", Context(open=lambda spec: model, role=role))


def test_no_answer_crosses_between_programs_models_loops_and_threads(tmp_path: Path):
    backends = {
        (model, task): opened(tmp_path / model / task, Named(model), program.build(ROLE, task))
        for model in ("small", "large")
        for task in ("Echo.", "Shout.")
    }
    found: dict[tuple[int, str, str, int], str] = {}

    def one_loop(loop: int) -> None:
        async def ask(model: str, task: str, number: int) -> None:
            prompt = Prompt(example_id=f"e{number}", inputs={"word": f"w{number}"}, messages=())
            (answer,) = await backends[model, task].generate([prompt], Decoding(seed=loop))
            fields = answer.fields or {}
            found[loop, model, task, number] = f"{fields['title']} {fields['tail']}"

        async def run() -> None:
            calls = [ask(*key, number) for number in range(60) for key in backends]
            await asyncio.gather(*calls)

        asyncio.run(run())

    threads = [threading.Thread(target=one_loop, args=(loop,)) for loop in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    for backend in backends.values():
        asyncio.run(backend.close())
    assert len(found) == 2 * 4 * 60
    assert found == {key: f"{key[1]} {key[2]} w{key[3]} {key[0]}" for key in found}


def test_every_part_of_a_program_is_part_of_its_fingerprint(tmp_path: Path):
    def changed(**changes: Any) -> Any:
        made = program.build(ROLE, changes.get("instructions", "Echo."))
        made.generate.demos = [{"word": "tea", "title": changes.get("title", "Tea"), "tail": "a"}]
        if "desc" in changes:
            field = made.generate.signature.fields["tail"]
            field.json_schema_extra["desc"] = changes["desc"]
        return made

    prints = {
        name: opened(tmp_path / name, Named(changes.pop("lm", "small")), changed(**changes))
        for name, changes in {
            "same": {},
            "again": {},
            "instruction": {"instructions": "Echo!"},
            "demo": {"title": "TEA"},
            "description": {"desc": "the end"},
            "model": {"lm": "large"},
        }.items()
    }
    found = {name: backend.fingerprint() for name, backend in prints.items()}
    assert found.pop("again") == found["same"]
    assert len(set(found.values())) == 5


def test_the_caches_of_dspy_are_not_touched(tmp_path: Path):
    code = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from test_dspy_apart import Named, ROLE, opened\n"
        "from baft import Decoding, Prompt\n"
        "backend = opened(Path(sys.argv[1]) / 'program', Named('small'))\n"
        "prompt = Prompt(example_id='e', inputs={'word': 'w'}, messages=())\n"
        "async def run():\n"
        "    await backend.generate([prompt], Decoding())\n"
        "    await backend.close()\n"
        "asyncio.run(run())\n"
    )
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        **os.environ,
        "HOME": str(home),
        "DSPY_CACHEDIR": str(tmp_path / "cache"),
        "PYTHONPATH": os.pathsep.join(map(str, Path(__file__).parents[:2])),
    }
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "cache").exists()
    assert not [path for path in home.rglob("*") if "dspy" in path.name]


def written(values: dict[str, str], how: str) -> str:
    if how == "fields":
        parts = [f"[[ ## {name} ## ]]\n{value}" for name, value in values.items()]
        return "\n\n".join([*parts, "[[ ## completed ## ]]"])
    lists = [f"{n}:\n{v}" if v.startswith("- ") else f"{n}: '{v}'" for n, v in values.items()]
    return "\n".join(lists)


@pytest.mark.parametrize("extraction", ["strict", "lenient"])
def test_fields_and_a_document_give_the_same_prediction(tmp_path: Path, extraction: Any):
    role = load_plugins().role("ba")
    values = {name: value.strip() for name, value in FIELDS.items()}

    class Writing(Named):
        def _answer(self, prompt: Prompt, decoding: Decoding) -> Generation:
            return Generation(example_id=prompt.example_id, text=written(values, self.name))

    found = []
    for how in ("fields", "document"):
        backend = opened(tmp_path / how, Writing(how), role=role)
        prompt = Prompt(example_id="e", inputs={"concept": "A clinic"}, messages=())
        (generation,) = asyncio.run(backend.generate([prompt], Decoding()))
        asyncio.run(backend.close())
        found.append(role.parse(generation, extraction))
    assert found[0] == found[1]
    assert found[0].validity == "as_is"
    assert found[0].fields["constraints"][1] == {
        "id": "C002",
        "description": "Soon",
        "priority": "Low",
    }


def manifest_of(job: Job) -> Manifest:
    return Manifest(
        run_id="r1",
        date="2026-01-01T00:00:00+00:00",
        benchmark="b",
        benchmark_version=1,
        role="ba",
        dataset="d.jsonl",
        dataset_sha256="0",
        num_examples=job.num_examples,
        metric=job.metric.name,
        metric_version=job.metric.version,
        attainable_max=job.metric.attainable_max,
        component_max=dict(job.metric.components),
        extraction=job.extraction,
        decoding=job.decoding,
        limits=job.limits,
        policy=Policy(),
        incumbent="optimized",
        arms=(ArmManifest(name="optimized", spec="dspy:x", fingerprint="x"),),
    )


def test_a_run_keeps_prompts_completions_and_usage_and_tries_again(tmp_path: Path):
    pytest.importorskip("openai")
    pytest.importorskip("aiohttp")
    plugins = load_plugins()
    role, metric = plugins.role("ba"), plugins.metric("ba_requirements")
    examples = [role.example({"concept": f"Clinic {n}"}) for n in range(3)]
    made = program.build(role, "Write it all down.")
    program.save(made, role, tmp_path / "program")
    answer = written(FIELDS, "fields")

    def busy_at_first(asked: Asked) -> Answer | Fault | str:
        return Fault.BUSY if "Clinic 1" in asked.text and asked.attempt == 1 else answer

    job = Job(
        role=role,
        metric=metric,
        num_examples=len(examples),
        decoding=Decoding(temperature=0.25, max_tokens=900, seed=3),
        limits=Limits(retries=2, backoff_s=0.001, timeout_s=30, concurrency=2),
        extraction="lenient",
    )
    store = RunStore.create(tmp_path / "run", manifest_of(job))
    store.add_examples(examples, role.prompt)
    with FakeOpenAI(busy_at_first) as server:
        spec = f"dspy:{tmp_path / 'program'}?lm=openai:tiny@{server.url}/v1"
        backend = plugins.open(spec, plugins.context(role=role))

        async def run() -> None:
            with scoring_pool(job) as pool:
                await run_arm("optimized", backend, job, store, pool)
            await backend.close()

        asyncio.run(run())
        asked = server.requests
    results = list(store.results("optimized"))
    store.close()
    assert [r.score.value for r in results if r.score] == [pytest.approx(6.5 / 7)] * 3
    for result in results:
        kept = result.generation
        assert kept is not None
        assert kept.text == answer
        assert kept.fields == {name: value.strip() for name, value in FIELDS.items()}
        assert (kept.prompt_tokens or 0) > 20
        assert (kept.completion_tokens or 0) > 20
        assert kept.sent[0].content.endswith("Write it all down.")
    assert len(asked) == 4
    assert {(a.body["temperature"], a.body["max_tokens"], a.body["seed"]) for a in asked} == {
        (0.25, 900, 3)
    }
