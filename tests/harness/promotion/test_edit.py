"""Only the values that change change: every other byte stays as it was."""

from __future__ import annotations

import re

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from baft import DataError
from baft.promotion.edit import with_values
from baft.promotion.positions import load

from .conftest import CONFIG

WINNER = {"provider": "huggingface_local", "model": "models/ba", "temperature": 0.7}
BLOCK = {"type": "codex_cli", "command": ["baft", "ask", "--role", "ba"], "timeout": 600}
BOTH = {("roles", "ba"): WINNER, ("providers",): {"huggingface_local": BLOCK}}


def changed(text, changes=None, path=("roles", "ba")):
    return with_values(text, changes if changes is not None else {path: WINNER}, "config.yaml")


def untouched_lines(before, after, touched):
    """Lines of ``before`` that do not hold a touched key, all of them, in order, in ``after``."""
    kept = [line for line in before.splitlines(keepends=True) if not re.search(touched, line)]
    rest = iter(after.splitlines(keepends=True))
    return all(any(line == other for other in rest) for line in kept)


EXPECTED = [
    pytest.param(
        "roles:\n  ba:\n    provider: ollama # why\n    model: granite4\n    temperature: 0.4\n",
        "roles:\n  ba:\n    provider: huggingface_local # why\n    model: models/ba\n"
        "    temperature: 0.7\n",
        id="comment behind a value",
    ),
    pytest.param(
        "roles:\r\n  ba:\r\n    model: x\r\n    provider: y\r\n  qa: z\r\n",
        "roles:\r\n  ba:\r\n    model: models/ba\r\n    provider: huggingface_local\r\n"
        "    temperature: 0.7\r\n  qa: z\r\n",
        id="CRLF",
    ),
    pytest.param(
        "roles:\n  ba:\n    provider: y\n    model: x",
        "roles:\n  ba:\n    provider: huggingface_local\n    model: models/ba\n"
        "    temperature: 0.7",
        id="no final line break",
    ),
    pytest.param(
        "roles:\r\n  ba:\r\n    provider: y\r\n    model: x",
        "roles:\r\n  ba:\r\n    provider: huggingface_local\r\n    model: models/ba\r\n"
        "    temperature: 0.7",
        id="CRLF without a final line break",
    ),
    pytest.param(
        "roles:\n  ba:\n    'provider': \"y\"\n    \"model\": 'x'\n    temperature: 1\n",
        "roles:\n  ba:\n    'provider': \"huggingface_local\"\n    \"model\": 'models/ba'\n"
        "    temperature: 0.7\n",
        id="quoted keys and values keep their quotes",
    ),
    pytest.param(
        "roles:\n  ba: {provider: y, model: x}  # short\n",
        "roles:\n  ba: {provider: huggingface_local, model: models/ba, temperature: 0.7}"
        "  # short\n",
        id="flow mapping",
    ),
    pytest.param(
        "roles:\n  ba: {}\n",
        "roles:\n  ba: {provider: huggingface_local, model: models/ba, temperature: 0.7}\n",
        id="empty flow mapping",
    ),
    pytest.param(
        '{"roles": {"ba": {"provider": "y", "model": "x", "temperature": 0.4}}}',
        '{"roles": {"ba": {"provider": "huggingface_local", "model": "models/ba", '
        '"temperature": 0.7}}}',
        id="JSON",
    ),
    pytest.param(
        "roles:\n  ba:\n    provider:   # later\n    model:\n    temperature: 0.70\n",
        "roles:\n  ba:\n    provider: huggingface_local   # later\n    model: models/ba\n"
        "    temperature: 0.70\n",
        id="absent values are filled in, equal ones stay",
    ),
    pytest.param(
        "d: &d\n  model: z\nroles:\n  ba:\n    <<: *d\n    provider: y\n    # end\n  qa: *d\n",
        "d: &d\n  model: z\nroles:\n  ba:\n    <<: *d\n    provider: huggingface_local\n"
        "    model: models/ba\n    temperature: 0.7\n    # end\n  qa: *d\n",
        id="merge key",
    ),
    pytest.param(
        "m: &m z\nroles:\n  ba:\n    provider: y\n    model: *m\n    temperature: 1\n",
        "m: &m z\nroles:\n  ba:\n    provider: huggingface_local\n    model: models/ba\n"
        "    temperature: 0.7\n",
        id="alias as value",
    ),
    pytest.param(
        "roles:\n    ba:\n        provider: y\n        model: x\n        note: |\n"
        "            kept\n\n        # tab\there\n    qa: 1\n",
        "roles:\n    ba:\n        provider: huggingface_local\n        model: models/ba\n"
        "        temperature: 0.7\n        note: |\n            kept\n\n        # tab\there\n"
        "    qa: 1\n",
        id="wide indentation, block text, tab in a comment",
    ),
    pytest.param(
        "%YAML 1.2\n---\nroles:\n  ba:\n    provider: y\n    model: x\n    temperature: 1\n...\n",
        "%YAML 1.2\n---\nroles:\n  ba:\n    provider: huggingface_local\n    model: models/ba\n"
        "    temperature: 0.7\n...\n",
        id="document marks",
    ),
    pytest.param(
        "über: ☕ 🚀\nroles:\n  ba:\n    provider: y\n    model: x\n    temperature: 1\n",
        "über: ☕ 🚀\nroles:\n  ba:\n    provider: huggingface_local\n    model: models/ba\n"
        "    temperature: 0.7\n",
        id="letters beyond ASCII before it",
    ),
]


@pytest.mark.parametrize(("before", "after"), EXPECTED)
def test_a_change_is_these_bytes_and_no_others(before, after):
    assert changed(before) == after


def test_every_line_of_the_sample_outside_the_entry_is_identical():
    after = changed(CONFIG, BOTH)

    assert untouched_lines(CONFIG, after, r'ollama        #|"granite4"|0\.4')
    data = yaml.safe_load(after)
    assert data["providers"]["huggingface_local"] == BLOCK
    assert data["roles"]["ba"] == {**yaml.safe_load(CONFIG)["roles"]["ba"], **WINNER}


def test_a_provider_goes_behind_the_last_one():
    after = changed(CONFIG, BOTH)

    block = (
        "    temperature: 0.2\n  huggingface_local:\n    type: codex_cli\n"
        "    command: [baft, ask, --role, ba]\n    timeout: 600\n\n# -------- who"
    )
    assert block in after


@pytest.mark.parametrize(
    ("providers", "expected"),
    [
        ("", "    temperature: 0.7\nproviders:\n  huggingface_local:\n    type: codex_cli\n"),
        ("providers: {}\n", "providers: {huggingface_local: {type: codex_cli, command: ["),
        ("providers:\n", "providers:\n  huggingface_local:\n    type: codex_cli\n"),
        (
            "providers: # none\n  # a: off\n",
            "providers: # none\n  # a: off\n  huggingface_local:\n    type: codex_cli\n",
        ),
        (
            "providers:\n  a:\n    b: 1\n    # c: 2\n  # d: 3\n",
            "    b: 1\n    # c: 2\n  huggingface_local:\n    type: codex_cli\n",
        ),
    ],
    ids=["missing", "empty", "null", "null with a comment", "comments behind it"],
)
def test_a_providers_section_is_made_or_filled(providers, expected):
    text = f"{providers}roles:\n  ba:\n    provider: y\n    model: x\n"

    assert expected in changed(text, BOTH)


@pytest.mark.parametrize(
    "text",
    [
        "roles:\n  ba: &b\n    provider: y\n    model: x\n  qa: *b\n",
        "roles:\n  qa: &b\n    provider: y\n    model: x\n  ba: *b\n",
        "roles:\n  ba:\n    provider: &p y\n    model: x\n  qa:\n    provider: *p\n",
        "roles:\n  ba:\n    provider: y\n    model: x\n  qa:\n    <<: &q {a: 1}\nz: {<<: *q}\n"
        "y: &y {ba: 1}\n".replace("  ba:\n", "  ba: &ba\n")
        + "x: {<<: *ba}\n",
        "roles:\n  ba:\n    provider: y\n    model: |\n      x\n",
        "roles:\n  ba:\n    provider: y\n    model: [x]\n",
        "roles:\n  ba:\n    provider: y\n    model: !!int 5\n",
    ],
    ids=[
        "anchored elsewhere used entry",
        "alias entry",
        "anchored value used elsewhere",
        "merged elsewhere",
        "block text",
        "list",
        "tag",
    ],
)
def test_what_cannot_be_changed_alone_is_refused(text):
    with pytest.raises(DataError, match="without touching anything else"):
        changed(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("roles:\n  ba: {provider: [}\n", "line 2: not valid YAML"),
        ("roles:\n\tba: 1\n", "line 2: not valid YAML"),
        ("roles:\n  ba:\n    model: a\n    model: b\n", r"line 4: .*duplicate key \"model\""),
        ("a: 1\n---\nb: 2\n", "line 2: a second document begins"),
        ("a: *nothing\n", "not valid YAML"),
        ("a: &a [*a]\n", "names nothing, or itself"),
        ("a: " + "[" * 50 + "]" * 50, "nested deeper than 40"),
        ("a: " + "x" * 1_000_001, "larger than 1,000,000 characters"),
        (
            "a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9]\n"
            + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)),
            "more than 100,000 values",
        ),
        ("a: !!python/object:os.system x\n", "not valid YAML"),
        ("a: b\x00c\n", "not valid YAML"),
    ],
)
def test_a_file_from_elsewhere_is_refused_with_its_line(text, message):
    with pytest.raises(DataError, match=message):
        load(text, "config.yaml")


@pytest.mark.parametrize(
    "value",
    ["no", "on", "12:30", "1e5", "0x1f", "null", "~", "", " a", "a: b", "a #b", "it's", "C:\\m",
     "2024-01-01", "*x", "@x", "a\nb", "ünï", "-", "--", "mistral:7b-instruct-q4_K_M", "x:"],
)  # fmt: skip
@pytest.mark.parametrize("before", ["old", "'old'", '"old"'])
def test_any_text_reads_back_as_text_in_yaml_1_1_and_1_2(value, before):
    text = f"roles:\n  ba: {{model: {before}}}\n  qa:\n    model: {before}\n"
    for role in ("ba", "qa"):
        after = changed(text, {("roles", role): {"model": value}})
        assert yaml.safe_load(after)["roles"][role]["model"] == value
        assert load(after, "")["roles"][role]["model"] == value


@pytest.mark.parametrize("value", [0.7, 0.0, 1e-05, 1e22, 2, 2048, 123456789.125])
def test_any_number_reads_back_as_itself(value):
    after = changed(
        "roles:\n  ba:\n    temperature: x\n", {("roles", "ba"): {"temperature": value}}
    )

    found = yaml.safe_load(after)["roles"]["ba"]["temperature"]
    assert found == value
    assert type(found) is type(value)


LEADS = st.sampled_from(["", "# a", "x: 1", "y: 'q'  # z", "z:\n- 1\n- {a: b}"])
LINES = st.sampled_from(["", "# c", "    # deep", "    top_p: 0.95   # t\there", "    x: [1, 2]"])


@settings(max_examples=60, deadline=None)
@given(
    lead=st.lists(LEADS, max_size=4, unique=True),
    inside=st.lists(LINES, max_size=4, unique=True),
    keys=st.permutations(["provider", "model", "temperature"]),
    left_out=st.integers(0, 2),
    tail=st.lists(st.sampled_from(["", "# end", "pipeline:\n  a: 1"]), max_size=3, unique=True),
    newline=st.sampled_from(["\n", "\r\n"]),
    is_ended=st.booleans(),
)  # fmt: skip
def test_whatever_stands_around_it_stays(lead, inside, keys, left_out, tail, newline, is_ended):
    own = [f"    {key}: 'old {key}' # of {key}" for key in keys[left_out:]]
    lines = [*lead, "roles:", "  qa: {provider: a}", "  ba:", *own, *inside, *tail]
    text = newline.join("\n".join(lines).split("\n")) + (newline if is_ended else "")

    after = changed(text)

    assert untouched_lines(text + newline, after + newline, r"'old ")
    assert after.endswith(newline) == text.endswith(newline)
    assert yaml.safe_load(after)["roles"]["ba"].items() >= WINNER.items()
    assert changed(after) == after
