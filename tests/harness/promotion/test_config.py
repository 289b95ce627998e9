"""What serves a role, and what the file says for a winner."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from baft import DataError, Decoding, UsageError
from baft.promotion import arm_in_service, in_service, read_config
from baft.promotion.config import absolute_spec
from baft.promotion.winner import with_winner

from .conftest import CONFIG

AS_EVALUATED = Decoding(temperature=0.7, max_tokens=2048)


@pytest.fixture
def written(config):
    """The data of the file once ``spec`` has won."""

    def write(spec, role="ba", text=None):
        if text is not None:
            config.write_text(text)
        return yaml.safe_load(with_winner(read_config(config), role, spec, AS_EVALUATED).text)

    return write


def serving(config, plugins, role, text=None):
    if text is not None:
        config.write_text(text)
    return in_service(read_config(config), role, plugins)


def test_an_ollama_entry_is_read_with_its_settings(config, plugins):
    found = serving(config, plugins, "ba")

    assert (found.spec, found.temperature, found.max_tokens) == ("ollama:granite4", 0.4, 8192)


def test_an_absent_setting_is_none(config, plugins):
    assert serving(config, plugins, "qa").temperature is None


@pytest.mark.parametrize(
    ("entry", "spec"),
    [
        ("provider: ollama, model: ollama/mistral:7b", "ollama:mistral:7b"),
        ("model: mistral", "ollama:mistral"),
        ("provider: far, model: m", "ollama:m@http://gpu:11434"),
        ("provider: openai, model: gpt", "openai:gpt@https://api.openai.com/v1"),
        ("provider: vllm, model: org/m", "openai:org/m@http://v:8000/v1"),
        ("provider: huggingface_local, model: org/name", "hf:org/name"),
    ],
)
def test_a_provider_and_model_are_one_spec(config, plugins, entry, spec):
    text = (
        "providers:\n  ollama: {type: ollama}\n  openai: {type: openai}\n"
        "  far: {type: ollama, base_url: 'http://gpu:11434'}\n"
        "  vllm: {type: openai, base_url: 'http://v:8000/v1'}\n"
        f"roles:\n  ba: {{{entry}}}\n"
    )

    assert serving(config, plugins, "ba", text).spec == spec


def test_a_model_folder_is_recognised_from_the_files_folder(config, plugins, make_model):
    for kind, scheme in (("adapter_config.json", "lora"), ("config.json", "hf")):
        folder = make_model(scheme, kind)
        text = f"roles:\n  ba: {{provider: huggingface_local, model: artifacts/models/{scheme}}}\n"
        assert serving(config, plugins, "ba", text).spec == f"{scheme}:{folder}"


def test_an_optimized_program_keeps_its_language_model(config, plugins, make_model):
    folder = make_model("prog", "program.json")
    text = "roles:\n  ba: {provider: dspy_local, model: artifacts/models/prog?lm=ollama:m}\n"

    assert serving(config, plugins, "ba", text).spec == f"dspy:{folder}?lm=ollama:m"


@pytest.mark.parametrize(
    ("role", "text", "message"),
    [
        ("dev", None, "cannot open the provider 'vertex_sdk'"),
        ("ba", "roles: {ba: {provider: gone, model: m}}", "no entry in `providers`"),
        ("ba", "roles: {ba: {provider: huggingface_local, model: ./x}}", "There is nothing at"),
        ("ba", "roles: {ba: {temperature: 1}}", "names no model"),
    ],
)
def test_what_baft_cannot_open_has_a_problem_and_no_spec(config, plugins, role, text, message):
    found = serving(config, plugins, role, text)

    assert found.spec == ""
    assert message in found.problem


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("a: 1\n", "has no `roles` section", "baft init"),
        ("roles: {}\n", "has no `roles` section", "baft init"),
        ("roles:\n  qa: {model: x}\n", "has no entry roles.ba", "add `roles: {ba:"),
        ("roles:\n  ba: mistral\n", "roles.ba in .* is not a mapping", "Write it as"),
        ("roles:\n  ba:\n", "roles.ba in .* is not a mapping", "Write it as"),
        ("- a\n", "is not a mapping", "baft init"),
        ("", "is not a mapping", "baft init"),
        ("roles:\n  ba: {a: 1, a: 2}\n", "line 2: not valid YAML .duplicate key", "Remove one"),
    ],
)
def test_a_file_that_is_not_as_it_must_be_says_what_to_do(config, plugins, text, message, hint):
    with pytest.raises(DataError, match=message) as caught:
        serving(config, plugins, "ba", text)

    assert hint in caught.value.hint


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"There is no configuration at .*nothere"):
        read_config(tmp_path / "nothere.yaml")


def test_bytes_that_are_no_text_name_their_line(config):
    config.write_bytes(b"roles:\n  ba: \xff\n")

    with pytest.raises(DataError, match="line 2: not UTF-8"):
        read_config(config)


def test_a_byte_order_mark_stays(config):
    config.write_bytes(b"\xef\xbb\xbf" + CONFIG.encode())

    after = with_winner(read_config(config), "ba", "ollama:mistral", AS_EVALUATED)

    assert after.raw.startswith(b"\xef\xbb\xbf#")
    assert after.raw.count(b"\xef\xbb\xbf") == 1


ANCHORED = "d: &d {a: 1}\ne: *d\nf: {<<: *d, b: 2}"
TMP = HealthCheck.function_scoped_fixture
AROUND = st.lists(
    st.sampled_from(["# a\tb", "", "x: 1   #\tc", "y: 'q' # z\t", "ü: ☕", ANCHORED, 'w: "a\\tb"']),
    max_size=5,
    unique=True,
)


@settings(max_examples=60, deadline=None, suppress_health_check=(TMP,))
@given(
    lead=AROUND,
    tail=AROUND,
    newline=st.sampled_from(["\n", "\r\n"]),
    mark=st.sampled_from([b"", b"\xef\xbb\xbf"]),
    is_ended=st.booleans(),
)
def test_every_byte_around_the_entries_stays(config, lead, tail, newline, mark, is_ended):
    keys = {line.partition(":")[0] for line in lead}
    tail = [line for line in tail if line.partition(":")[0] not in keys or not line]
    entry = ["roles:", "  ba:", "    provider: ollama #\tone", "    model: 'a' # two"]
    providers = ["providers:", "  ollama: {type: ollama}"]
    lines = "\n".join([*lead, *entry, *tail, *providers]).split("\n")
    raw = mark + newline.join([*lines, ""] if is_ended else lines).encode()
    config.write_bytes(raw)

    after = with_winner(read_config(config), "ba", "ollama:m", AS_EVALUATED).raw

    numbers = newline.join(["    temperature: 0.7", "    max_tokens: 2048", ""]).encode()
    rest = after.replace(b"model: 'm'", b"model: 'a'", 1).replace(numbers, b"", 1)
    assert rest == raw


def test_a_fine_tuned_winner_gets_a_command_provider(written, make_model):
    data = written(f"lora:{make_model()}")

    assert data["roles"]["ba"] == {
        "provider": "huggingface_local",
        "model": "artifacts/models/ba_lora",
        "temperature": 0.7,
        "max_tokens": 2048,
        "top_p": 0.95,
    }
    assert data["providers"]["huggingface_local"] == {
        "type": "codex_cli",
        "command": ["baft", "ask", "--role", "ba", "--pipeline"],
        "input_format": "stdin_json",
        "append_model": False,
        "append_temperature": False,
        "append_max_tokens": False,
        "timeout": 600,
    }


def test_a_model_elsewhere_keeps_its_full_path(written, tmp_path):
    assert written(f"hf:{tmp_path}/base")["roles"]["ba"]["model"] == f"{tmp_path}/base"


def test_the_language_model_of_a_program_is_written_from_the_files_folder(
    written, config, plugins, make_model
):
    program, adapter = make_model("p", "program.json"), make_model()
    spec = f"dspy:{program}?lm=lora:{adapter}"

    data = written(spec)

    model = "artifacts/models/p?lm=lora:artifacts/models/ba_lora"
    assert data["roles"]["ba"]["model"] == model
    text = f"roles: {{ba: {{provider: dspy_local, model: '{model}'}}}}"
    assert serving(config, plugins, "ba", text).spec == spec


def test_a_linked_model_is_written_by_the_name_of_its_link(
    written, config, plugins, make_model, tmp_path
):
    folder = make_model()
    folder.rename(tmp_path / "disk")
    folder.symlink_to(tmp_path / "disk")
    spec = absolute_spec("lora:artifacts/models/ba_lora", (config.parent,), plugins)

    assert written(spec)["roles"]["ba"]["model"] == "artifacts/models/ba_lora"


def test_an_optimized_winner_gets_its_own_provider(written, make_model):
    data = written(f"dspy:{make_model('p', 'program.json')}?lm=ollama:m")

    assert data["roles"]["ba"]["provider"] == "dspy_local"
    assert data["roles"]["ba"]["model"] == "artifacts/models/p?lm=ollama:m"
    assert data["providers"]["dspy_local"]["command"][-2:] == ["ba", "--pipeline"]


def test_an_ollama_winner_uses_the_provider_that_is_there(written):
    data = written("ollama:mistral:7b-instruct")

    assert data["providers"] == yaml.safe_load(CONFIG)["providers"]
    assert data["roles"]["ba"]["model"] == "mistral:7b-instruct"


def test_an_ollama_winner_on_another_server_takes_it_away_from_nobody(written):
    data = written("ollama:mistral@http://gpu:11434")

    assert data["providers"]["ollama"] == yaml.safe_load(CONFIG)["providers"]["ollama"]
    assert data["providers"]["ollama_ba"] == {"type": "ollama", "base_url": "http://gpu:11434"}
    assert data["roles"]["ba"]["provider"] == "ollama_ba"
    assert data["roles"]["architect"]["provider"] == "ollama"


def test_a_missing_ollama_provider_is_added(written):
    data = written("ollama:mistral", text="roles:\n  ba: {model: x}\n")

    assert data["providers"] == {"ollama": {"type": "ollama", "base_url": "http://localhost:11434"}}


def test_a_second_role_does_not_answer_through_the_first_ones_command(config, written, make_model):
    spec = f"lora:{make_model()}"
    config.write_bytes(with_winner(read_config(config), "ba", spec, AS_EVALUATED).raw)

    data = written(spec, role="qa")

    assert data["roles"]["ba"]["provider"] == "huggingface_local"
    assert data["roles"]["qa"]["provider"] == "huggingface_local_qa"
    assert data["providers"]["huggingface_local_qa"]["command"][3] == "qa"


def test_an_own_provider_that_runs_baft_is_kept(written, make_model):
    own = (
        "providers:\n  huggingface_local: {type: codex_cli, command: [uv, run, baft, ask, --role, "
        "ba, --pipeline], input_format: stdin_json, append_model: false, "
        "append_temperature: false, append_max_tokens: false, timeout: 1800}\n"
        "roles:\n  ba: {model: x}\n"
    )

    data = written(f"lora:{make_model()}", text=own)

    assert data["providers"] == yaml.safe_load(own)["providers"]
    assert data["roles"]["ba"]["provider"] == "huggingface_local"


def test_two_names_taken_by_something_else_are_refused(written, make_model):
    text = (
        "providers: {huggingface_local: {type: hf}, huggingface_local_ba: {type: hf}}\n"
        "roles: {ba: {model: x}}\n"
    )

    with pytest.raises(DataError, match="both serve something else"):
        written(f"lora:{make_model()}", text=text)


def test_a_replay_cannot_be_written(written):
    with pytest.raises(UsageError, match="no provider that could serve replay:"):
        written("replay:a.jsonl")


@pytest.mark.parametrize("role", ["architect", "dev", "qa", "product_owner"])
def test_every_role_of_the_pipeline_can_be_written(written, plugins, config, role, make_model):
    folder = make_model()
    config.write_bytes(with_winner(read_config(config), role, f"lora:{folder}", AS_EVALUATED).raw)

    assert in_service(read_config(config), role, plugins).spec == f"lora:{folder}"


def test_what_is_written_reads_back_as_the_winner(config, plugins, make_model):
    specs = [
        f"lora:{make_model()}",
        f"hf:{make_model('base', 'config.json')}",
        f"lora:{make_model()}?base=/m/base",
        f"dspy:{make_model('p', 'program.json')}",
        "ollama:mistral:7b",
        "ollama:m@https://gpu/x",
        "openai:org/m@http://v:8000/v1",
    ]
    for spec in specs:
        config.write_text(CONFIG)
        after = with_winner(read_config(config), "ba", spec, AS_EVALUATED)
        found = in_service(after, "ba", plugins)
        assert (found.spec, found.temperature, found.max_tokens) == (spec, 0.7, 2048)


def test_relative_paths_are_found_in_the_first_root_that_has_them(plugins, make_model, project):
    folder = make_model()
    spec = "artifacts/models/ba_lora"
    roots = (project / "elsewhere", project)

    assert absolute_spec(f"lora:{spec}", roots, plugins) == f"lora:{folder}"
    assert absolute_spec(spec, roots, plugins) == f"lora:{folder}"
    assert absolute_spec(f"dspy:/p?lm=lora:{spec}", roots, plugins) == f"dspy:/p?lm=lora:{folder}"


def test_the_arm_in_service_is_found_however_it_is_spelt(config, plugins):
    arms = {"new": "hf:org/m", "now": "ollama:granite4@http://127.0.0.1:11434/"}

    assert arm_in_service(read_config(config), "ba", arms, plugins) == "now"
    assert arm_in_service(read_config(config), "dev", arms, plugins) is None
    assert arm_in_service(read_config(config), "nobody", arms, plugins) is None
    assert arm_in_service(read_config(config), "ba", {"x": "./gone"}, plugins) is None
