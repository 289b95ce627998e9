"""``baft.parsing.safe_yaml``: the verdict of ``yaml.safe_load``, within limits."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from baft.parsing import safe_yaml

ITEMS = """\
- id: FR001
  description: The user can log in
  priority: High
- id: FR002
  description: |
    a
    b
  priority: Low
"""
DOCUMENTS = (
    "",
    "a: b\n",
    ITEMS,
    f"title: T\ndescription: >\n  long\n  text\nfunctional_requirements:\n{ITEMS}constraints: []\n",
    '[{"id": "FR001", "description": "x y", "priority": "High"}, {"id": "FR002", "p": null}]',
    "- {id: FR001, description: 'a b', priority: High}\n- {id: FR002, description: \"c\"}\n",
)
SCRAPS = (
    *("\t", " ", "  ", "\n", "\r\n", "\r", "\x85", "\u2028", "\ufeff", "\xa0", "\x00", "\x07"),
    *(":", ": ", ":}", ":]", ":[", ":{", "::", ",", ", ", "[", "]", "{", "}", "{}", "? ", "- "),
    *("#", " #", "|\n", ">\n", "|-\n", "|2\n", "%", "@", "`", "```yaml\n", "'", '"', "<<: ", "="),
    *("\\", "\\n", "\\/", "\\u00e9", "\\ud83d", "\\U0001F600", "\\x41", "😀", "é", "\ue000"),
    *("&a ", "*a", "!", "!x ", "!!str ", "!!bool ", '!!int ""', "---\n", "...\n", "%YAML 1.1\n"),
    *("2024-01-01", "2024-13-45", "0001-01-01T00:00:00+23:59", "12:30", "0x1F", "1_000", "1e3"),
    *("yes", "null", "~", ".5", "FR001", "id: ", "description: ", "https://x.y/z?a=b#c", "a:b"),
)


@st.composite
def damaged(draw: st.DrawFn) -> str:
    text = draw(st.sampled_from(DOCUMENTS))
    for _ in range(draw(st.integers(0, 5))):
        start = draw(st.integers(0, len(text)))
        end = start + draw(st.integers(0, 5))
        text = text[:start] + draw(st.sampled_from(SCRAPS)) + text[end:]
    return text


def outcome(load: Any, text: str) -> str:
    try:
        return repr(load(text))
    except safe_yaml.LimitError:
        return "limit"
    except safe_yaml.REFUSED:
        return "refused"
    except safe_yaml.CRASHED as error:
        return type(error).__name__


def agrees(text: str) -> bool:
    ours, theirs = outcome(safe_yaml.load, text), outcome(yaml.safe_load, text)
    return ours == theirs or (ours == "limit" and "*a" in text and "..." in theirs)


@settings(deadline=None, max_examples=400)
@given(damaged())
def test_the_verdict_is_that_of_the_python_loader(text: str) -> None:
    assert agrees(text)


@pytest.mark.slow
@settings(deadline=None, max_examples=50_000)
@given(damaged())
def test_the_verdict_is_that_of_the_python_loader_over_many_texts(text: str) -> None:
    assert agrees(text)


@settings(deadline=None, max_examples=200)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.dates(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner),
        max_leaves=12,
    ),
    st.booleans(),
)
def test_whatever_is_dumped_is_loaded_alike(value: Any, flow: bool) -> None:
    text = yaml.safe_dump(value, allow_unicode=True, default_flow_style=flow)
    assert safe_yaml.load(text) == yaml.safe_load(text)


@pytest.mark.parametrize(
    "text",
    [
        "a:\tb",  # C takes tabs
        "{a:{b: c}}",  # C refuses a value that touches its key
        "{a:, b}",
        "{a: what?}",  # C takes a question mark in flow style
        "! x",
        "a: |#\n  b",
        '{"a": "\\ud83d"}',  # C refuses half a surrogate pair
        "\r\n\ufeffa",
        "&a [*a]",
    ],
)
def test_what_the_two_loaders_disagree_on_goes_to_the_python_loader(text: str) -> None:
    assert agrees(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("--- a\n...\n", "a"),
        ("\ufeffa: 1", {"a": 1}),
        ("a: 1\r\nb: yes\r\n", {"a": 1, "b": True}),
        ("a: &x {k: 1}\nb: *x\n", {"a": {"k": 1}, "b": {"k": 1}}),
        ("a: &x {k: 1}\nb: {<<: *x, l: 2}\n", {"a": {"k": 1}, "b": {"k": 1, "l": 2}}),
        ("a: 1.5\nb: !!str 2\n", {"a": 1.5, "b": "2"}),
        ("? [a]\n: b", None),
        ("a: 1\na: 2\n", {"a": 2}),
        ("'1': '~'", {"1": "~"}),
    ],
)
def test_plain_and_unusual_documents(text: str, value: Any) -> None:
    if text.startswith("?"):
        with pytest.raises(yaml.YAMLError):
            safe_yaml.load(text)
    else:
        assert safe_yaml.load(text) == value


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("a\n--- b\n", yaml.YAMLError),
        ("a: 'b", yaml.YAMLError),
        ("!!python/name:os.system x", yaml.YAMLError),
        ("2024-13-45", ValueError),
        ("!!timestamp x", AttributeError),
        ("!!bool High", KeyError),
        ('!!int ""', IndexError),
        ("1" + ":1" * 200 + ".0", OverflowError),
    ],
)
def test_what_cannot_be_loaded_raises_as_in_pyyaml(text: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        safe_yaml.load(text)
    with pytest.raises(kind):
        yaml.safe_load(text)


DEEP = safe_yaml.MAX_DEPTH


@pytest.mark.parametrize(
    "text", ["[" * DEEP + "]" * DEEP, "- " * DEEP + "x", "&a " + "[" * DEEP + "]" * DEEP]
)
def test_the_deepest_text_allowed_loads(text: str) -> None:
    assert safe_yaml.load(text) == yaml.safe_load(text)


LAUGHS = "a0: &a0 [x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 40)
)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("x" * (safe_yaml.MAX_CHARS + 1), "characters"),
        ("[" * (DEEP + 1) + "]" * (DEEP + 1), "deep"),
        ("[" * 200_000, "deep"),
        ("[" * 200_000 + "?", "deep"),
        ("{a: " * 200_000, "deep"),
        ("- " * 200_000, "deep"),
        ("? " * 200_000, "deep"),
        ("!!seq " + "[" * 200_000, "deep"),
        ("&a " + "[" * (DEEP + 1) + "]" * (DEEP + 1), "deep"),
        ("- &a " + "[" * 60 + "]" * 60 + "\n- " + "[" * 60 + "*a" + "]" * 60, "deep"),
        (LAUGHS, "aliases"),
        (MERGES, "aliases"),
        ("- &a " + str(["x"] * 1000) + "\n" + "- *a\n" * 1000, "aliases"),
        ("&a [*a]", "aliases"),
        ("- 1" + ":1" * 100_000, "number"),
        ("- 2020-01-01\n- 1" + ":1" * 100_000, "number"),
    ],
)
def test_a_text_past_a_limit_is_refused_at_once(text: str, what: str) -> None:
    with pytest.raises(safe_yaml.LimitError, match=what):
        safe_yaml.load(text)


@pytest.mark.parametrize("text", [">" * 900_000 + "\n#", "!" * 900_000, "a#" * 450_000])
def test_looking_for_what_the_loaders_disagree_on_takes_linear_time(text: str) -> None:
    assert outcome(safe_yaml.load, text) in ("refused", repr(text))


def test_a_limit_is_neither_a_refusal_of_the_metric_nor_a_value_error() -> None:
    assert not issubclass(safe_yaml.LimitError, safe_yaml.REFUSED)
    assert issubclass(safe_yaml.LimitError, safe_yaml.CRASHED)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: b: c", "mapping values are not allowed"),
        ("[" * 200, "nested more than 100 deep"),
        ("!!bool High", "KeyError"),
        ("a\n--- b", "line"),
    ],
)
def test_the_reason_is_one_line(text: str, words: str) -> None:
    with pytest.raises((*safe_yaml.REFUSED, *safe_yaml.CRASHED)) as caught:
        safe_yaml.load(text)
    reason = safe_yaml.reason(caught.value)
    assert words in reason
    assert "\n" not in reason
