"""Programs on disk: what is read, what is refused, and that nothing is lost on the way."""

from __future__ import annotations

import json
import pickle
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from baft import DataError, Field, UsageError

dspy = pytest.importorskip("dspy")

from baft_dspy import baft_recognise_path, program, reading, recorded  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

ROLE: Any = SimpleNamespace(
    name="cook",
    task="Write a recipe.",
    inputs=(Field(name="dish", description="what to cook"),),
    outputs=(
        Field(name="title", description="its name"),
        Field(name="steps", description="YAML list of steps", kind="list"),
    ),
)
DEMO = {"dish": "soup", "title": "Sopa de ñame", "steps": "- id: 1\n- id: 2", "augmented": True}
COMPONENTS: dict[str, Any] = {
    "role": "cook",
    "type": "CookModule",
    "modules": {
        "generate": {
            "type": "Predict",
            "instructions": "Cook well.",
            "fields": {
                "dish": {"type": "input", "desc": "the dish"},
                "title": {"type": "output", "desc": "its name"},
                "steps": {"type": "output", "desc": "steps"},
            },
            "demos": [DEMO],
        }
    },
}


MODULE: dict[str, Any] = COMPONENTS["modules"]["generate"]


def components(**changes: Any) -> dict[str, Any]:
    return {**COMPONENTS, "modules": {"generate": {**MODULE, **changes}}}


def rendered(made: Any) -> Any:
    predict = made.generate
    return dspy.ChatAdapter().format(predict.signature, predict.demos, {"dish": "cake"})


def optimized() -> Any:
    made = program.build(ROLE, "Cook well, in Spanish: ¡rico!")
    labelled = dspy.Example(dish="tea", title="Tea", steps="- boil").with_inputs("dish")
    made.generate.demos = [dspy.Example(**DEMO), labelled]
    return made


def write(path: Path, value: Any) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def test_the_program_asks_for_the_roles_fields():
    text = rendered(program.build(ROLE))[0]["content"]
    assert "`dish` (str): what to cook" in text
    assert "`steps` (str): YAML list of steps" in text
    assert text.endswith("Write a recipe.")


@pytest.mark.parametrize("name", ["program.json", "program_components.json"])
def test_a_saved_program_renders_the_identical_prompt(tmp_path: Path, name: str):
    made = optimized()
    program.save(made, ROLE, tmp_path / "new")
    loaded = reading.load(tmp_path / "new" / name, ROLE)
    assert rendered(loaded) == rendered(made)
    assert len(rendered(loaded)) == 6
    assert program.program_sha256(loaded) == program.program_sha256(made)


def test_dspy_itself_loads_what_was_saved(tmp_path: Path):
    made = optimized()
    program.save(made, ROLE, tmp_path)
    other = program.build(ROLE)
    other.load(tmp_path / "program.json")
    assert rendered(other) == rendered(made)


def test_the_components_are_complete(tmp_path: Path):
    program.save(optimized(), ROLE, tmp_path)
    saved = json.loads((tmp_path / "program_components.json").read_text(encoding="utf-8"))
    module = saved["modules"]["generate"]
    assert saved["role"] == "cook"
    assert module["demos"] == [DEMO, {"dish": "tea", "title": "Tea", "steps": "- boil"}]
    assert module["fields"]["steps"] == {"type": "output", "desc": "YAML list of steps"}
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "program.json",
        "program_components.json",
    ]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path):
    program.save(optimized(), ROLE, tmp_path)
    before = (tmp_path / "program.json").read_bytes()
    broken = optimized()
    broken.generate.demos = [{"dish": object()}]
    with pytest.raises(TypeError):
        program.save(broken, ROLE, tmp_path)
    assert (tmp_path / "program.json").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("key", ["generate", "predict", "_stories.generate"])
def test_the_pipelines_keys_are_known(tmp_path: Path, key: str):
    path = write(tmp_path / "program_components.json", {**COMPONENTS, "modules": {key: MODULE}})
    loaded = reading.load(path, ROLE)
    assert loaded.generate.signature.instructions == "Cook well."
    assert "`dish` (str): the dish" in rendered(loaded)[0]["content"]
    assert rendered(loaded)[2]["content"].startswith("[[ ## title ## ]]\nSopa de ñame")


def test_of_several_predictors_the_roles_own_is_taken(tmp_path: Path):
    modules = {"_arch.generate": MODULE, "_stories.generate": {**MODULE, "instructions": "Tell."}}
    value = {"role": "architect", "type": "A", "modules": modules}
    path = write(tmp_path / "program_components.json", value)
    role: Any = SimpleNamespace(**{**vars(ROLE), "name": "architect_stories"})
    assert reading.load(path, role).generate.signature.instructions == "Tell."


def state(**changes: Any) -> dict[str, Any]:
    return {"generate": {**program.build(ROLE).generate.dump_state(), **changes}, "metadata": {}}


def test_attributes_and_language_models_in_a_state_are_ignored(tmp_path: Path):
    lm = {"model": "openai/evil", "api_base": "http://evil"}
    path = write(tmp_path / "program.json", state(lm=lm, forward="owned", config={"n": 9}))
    loaded = reading.load(path, ROLE)
    assert loaded.generate.lm is None
    assert callable(loaded.generate.forward)
    assert loaded.generate.config == {}


FIELDS = {"prefix": "Dish:", "description": "d"}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "empty"),
        (json.dumps(COMPONENTS)[:-40], "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[1]", "holds a list"),
        ({}, "no predictor"),
        ({"modules": {}}, "no predictor"),
        ({"modules": {"generate": {}}}, "'instructions' is missing"),
        ({**COMPONENTS, "role": "ba"}, "made for the role 'ba'"),
        ({"modules": {"a.generate": {}, "b.generate": {}}}, "several predictors"),
        (
            {"modules": {"generate": {"instructions": "x", "fields": {"dish": {}, "wine": {}}}}},
            "its fields are dish, wine, the role's are dish, title, steps",
        ),
        ({"modules": {"generate": {"instructions": "x"}}}, "'fields' is missing"),
        (components(fields={}), "its fields are none, the role's are dish, title, steps"),
        (
            components(fields={**MODULE["fields"], "dish": {"type": "output"}}),
            "its field dish is 'output', the role's an input",
        ),
        (components(demos="x"), "demos are a str"),
        (components(demos=[3]), "demo 1 is a int"),
        (components(instructions=3), "instructions is a int"),
        (components(demos=[{"augmented": True}]), "demo 1 has none of the role's fields"),
        (components(demos=[DEMO, {**DEMO, "q": 1}]), "demo 2 has q, the role dish, title, steps"),
        (state(demos=[{"dish": "tea", "wine": "red"}]), "demo 1 has wine"),
        (state(signature={"instructions": "x", "fields": [FIELDS]}), "its fields are Dish"),
        (state(signature={"instructions": "x", "fields": {}}), "its fields are a dict"),
    ],
)
def test_what_is_not_the_roles_program_is_refused(tmp_path: Path, value: Any, reason: str):
    path = write(tmp_path / "program.json", value)
    with pytest.raises(DataError, match=r"program\.json") as error:
        reading.load(path, ROLE)
    assert reason in error.value.message
    assert error.value.hint


def test_a_truncated_file_points_to_the_other_one(tmp_path: Path):
    write(tmp_path / "program.json", "{")
    write(tmp_path / "program_components.json", COMPONENTS)
    with pytest.raises(DataError) as error:
        reading.load(reading.find(tmp_path), ROLE)
    assert "program_components.json" in error.value.hint


def test_a_file_without_demos_or_with_a_byte_order_mark_is_read(tmp_path: Path):
    module = {key: value for key, value in MODULE.items() if key != "demos"}
    value = {**COMPONENTS, "modules": {"generate": module}}
    path = write(tmp_path / "program_components.json", "\ufeff" + json.dumps(value))
    assert reading.load(path, ROLE).generate.demos == []


@pytest.mark.parametrize("key", ["", "generate", "predict", "inner.generate", "_stories.generate"])
def test_dspys_own_state_is_read_whatever_its_predictor_is_called(tmp_path: Path, key: str):
    saved = {**optimized().generate.dump_state(), "lm": None}
    value = {key: saved, "metadata": {"dependency_versions": {}}} if key else saved
    loaded = reading.load(write(tmp_path / "any_name.json", value), ROLE)
    assert rendered(loaded) == rendered(optimized())


def test_labelled_demonstrations_cut_off_in_the_middle_are_refused(tmp_path: Path):
    text = json.dumps(COMPONENTS, indent=2)
    path = write(tmp_path / "program_components.json", text[: text.index('"augmented"')])
    with pytest.raises(DataError, match="not valid JSON") as error:
        reading.load(path, ROLE)
    assert error.value.hint == "Optimize again."


def test_a_file_too_large_for_a_program_is_not_read(tmp_path: Path):
    for name in ("program.json", "program.pkl"):
        path = tmp_path / name
        with path.open("wb") as stream:
            stream.truncate(reading.LARGEST + 1)
        with pytest.raises(DataError, match=r"16\.8 MB, too much for a program"):
            reading.load(path, ROLE)


def test_a_folder_without_a_program_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="neither"):
        reading.find(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        reading.find(tmp_path / "nothing")


def test_pickles_are_refused_unless_allowed(tmp_path: Path):
    path = tmp_path / "program.pkl"
    path.write_bytes(pickle.dumps(state()))
    with pytest.raises(DataError, match="run code"):
        reading.find(tmp_path, allow_pickle=True)
    with pytest.raises(DataError, match="runs code"):
        reading.find(path)
    found = reading.find(path, allow_pickle=True)
    assert rendered(reading.load(found, ROLE)) == rendered(program.build(ROLE))


def test_the_two_byte_pickle_of_the_pipeline_is_named(tmp_path: Path):
    path = tmp_path / "program.pkl"
    path.write_bytes(b"\x80\x04")
    with pytest.raises(DataError, match="2 bytes"):
        reading.load(path, ROLE)
    write(tmp_path / "program_components.json", COMPONENTS)
    with pytest.raises(DataError, match="2 bytes") as error:
        reading.load(path, ROLE)
    assert "program_components.json" in error.value.hint


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_whole_program_by_cloudpickle_is_read_where_allowed(tmp_path: Path):
    optimized().save(tmp_path, save_program=True)
    assert baft_recognise_path(tmp_path) is None
    with pytest.raises(DataError, match="run code"):
        reading.find(tmp_path, allow_pickle=True)
    path = reading.find(tmp_path / "program.pkl", allow_pickle=True)
    assert rendered(reading.load(path, ROLE)) == rendered(optimized())


def test_only_json_is_recognised(tmp_path: Path):
    assert baft_recognise_path(tmp_path) is None
    (tmp_path / "program.pkl").write_bytes(b"")
    assert baft_recognise_path(tmp_path) is None
    path = write(tmp_path / "program_components.json", COMPONENTS)
    assert baft_recognise_path(tmp_path) == f"dspy:{tmp_path}"
    assert baft_recognise_path(path) == f"dspy:{path}"


def test_the_recorded_model_is_found_wherever_the_tree_lies(tmp_path: Path):
    folder = tmp_path / "artifacts" / "dspy" / "best"
    folder.mkdir(parents=True)
    (tmp_path / "artifacts" / "models" / "tiny").mkdir(parents=True)
    model = (tmp_path / "artifacts" / "models" / "tiny").resolve()
    info = folder / "optimization_info.json"
    for spec in ("hf:../../models/tiny", "hf:artifacts/models/tiny", "hf:models/tiny"):
        write(info, {"lm": spec})
        assert recorded.recorded_lm(folder / "program.json") == f"hf:{model}"
    assert recorded.relative(f"hf:{model}", folder) == "hf:../../models/tiny"
    assert recorded.anchored(f"lora:x?base={model}", folder) == f"lora:x?base={model}"
    assert recorded.anchored("lora:x?base=models/tiny", folder) == f"lora:x?base={model}"
    for spec in ("ollama:mistral:7b", "openai:m@http://127.0.0.1:1/v1"):
        assert recorded.anchored(spec, folder) == recorded.relative(spec, folder) == spec


def test_without_a_recorded_model_the_option_is_named(tmp_path: Path):
    with pytest.raises(UsageError, match=r"\?lm="):
        recorded.recorded_lm(tmp_path / "program.json")


def test_a_recorded_server_elsewhere_has_to_be_confirmed(tmp_path: Path):
    info = tmp_path / "optimization_info.json"
    for spec in (
        "openai:m@https://example.org/v1",
        "ollama:m@http://127.0.0.1.example.org:1",
        "ollama:m@example.org:11434",
        "openai:m@http://example.org/@http://localhost",
        "openai:m@http://localhost@example.org",
        "openai:http://example.org",
    ):
        write(info, {"lm": spec})
        with pytest.raises(UsageError, match="sends prompts") as error:
            recorded.recorded_lm(tmp_path / "program.json")
        assert error.value.hint.endswith(f"?lm={spec}")
    write(info, {"lm": "ollama:m@http://localhost:11434"})
    assert recorded.recorded_lm(tmp_path / "program.json") == "ollama:m@http://localhost:11434"


def test_a_program_tells_of_the_search_that_made_it(tmp_path: Path):
    path = tmp_path / "program.json"
    assert reading.search_beside(path, "abc") == {}
    trial = {"trial": 1, "score": 0.5, "full": True, "instructions": "long", "seconds": 2.0}
    info = {
        "optimizer": "mipro",
        "program_sha256": "abc",
        "arguments": {"selected_on": "a fifth", "seed": 3},
        "trials": [trial, 7],
        "lm_config": {"much": "more"},
    }
    write(tmp_path / "optimization_info.json", info)
    assert reading.search_beside(path, "abc") == {
        "optimizer": "mipro",
        "program_sha256": "abc",
        "selected_on": "a fifth",
        "changed_since": False,
        "trials": [{"trial": 1, "score": 0.5, "full": True}],
    }
    assert reading.search_beside(path, "abd")["changed_since"] is True
    write(tmp_path / "optimization_info.json", "{")
    assert "not valid JSON" in reading.search_beside(path, "abc")["problem"]
