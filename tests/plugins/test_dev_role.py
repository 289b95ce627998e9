"""What the developer's role reads, and what it will not touch."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baft import Generation
from baft_dev.files import MOST_CHARS, MOST_FILES, in_fences, is_safe, read_entries, written
from baft_dev.role import Developer

ROLE = Developer()
FILES = [
    {"path": "shop/cart.py", "content": "def total():\n    return 1\n"},
    {"path": "tests/test_cart.py", "content": "def test_total():\n    assert True\n"},
]
TEXT = written(FILES)


def parsed(text, extraction="lenient"):
    return ROLE.parse(Generation(example_id="e", text=text), extraction)


@pytest.mark.parametrize("extraction", ["strict", "lenient"])
@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        json.dumps({"code_files": FILES}),
        json.dumps([{"path": f["path"], "code": f["content"]} for f in FILES]),
        f"[[ ## code_files ## ]]\n{TEXT}\n\n[[ ## completed ## ]]",
    ],
)
def test_an_answer_of_nothing_but_files_is_read_as_it_is(text, extraction):
    found = parsed(text, extraction)
    assert (found.validity, found.fields) == ("as_is", {"code_files": FILES})


@pytest.mark.parametrize(
    "text",
    [
        f"Here you are:\n\n{TEXT}\n\nGood luck!",
        f"<think>```python a.py\n```</think>{TEXT}",
        TEXT.replace("python shop/cart.py", "python").replace(
            "```python\n", "`shop/cart.py`:\n```python\n"
        ),
        TEXT.replace("python shop/cart.py\n", "python\n# shop/cart.py\n"),
        f"```json\n{json.dumps({'code_files': FILES})}\n```",
        TEXT.removesuffix("```"),
    ],
    ids=["prose", "thoughts", "above", "comment", "json", "open"],
)
def test_lenient_takes_away_what_is_not_a_file_and_strict_refuses(text):
    found = parsed(text)
    assert found.validity == "extracted"
    assert [file["path"] for file in found.fields["code_files"]] == [f["path"] for f in FILES]
    assert parsed(text, "strict").validity == "none"


@pytest.mark.parametrize(
    "name",
    [
        *("/etc/passwd", "../x.py", "a/../../x.py", "C:\\x.py", "~/x.py", "a\\b.py", "-rf.py"),
        *(".git/x", "a\x00b.py", "x" * 201, "", "a//b.py", "a/", "./../x.py", "año.py"),
    ],
)
def test_a_name_that_leads_out_is_no_file(name):
    assert not is_safe(name)
    text = json.dumps([*FILES, {"path": name, "content": "x"}])
    found = parsed(text)
    assert (found.validity, found.fields["code_files"]) == ("extracted", FILES)
    assert parsed(text, "strict").validity == "none"


def test_a_file_cannot_be_a_folder_too_nor_be_there_twice():
    entries = [{"path": path, "content": ""} for path in ("a/b.py", "a", "a/b.py", "a/b.py/c", "d")]
    assert read_entries(entries) == ({"a/b.py": "", "d": ""}, 3)


def test_files_are_bounded_in_number_and_size():
    many = [{"path": f"{i}.py", "content": ""} for i in range(MOST_FILES + 5)]
    assert read_entries(many)[1] == 5
    assert read_entries([{"path": "a.py", "content": "x" * (MOST_CHARS + 1)}]) == ({}, 1)


@pytest.mark.parametrize("value", [None, 3, "x", {}, [None], [{"path": 1, "content": "x"}], [[]]])
def test_what_holds_no_file_gives_none(value):
    assert read_entries(value)[0] == {}
    replayed = Generation(example_id="e", text="", fields={"code_files": value})
    assert ROLE.parse(replayed, "lenient").validity == "none"


def test_an_answer_without_a_path_is_no_file():
    assert parsed("```python\nx = 1\n```").validity == "none"
    assert parsed("I would write a function.").validity == "none"


@given(st.lists(st.text(alphabet="ab`\n #~é", max_size=40), min_size=1, max_size=3))
def test_what_is_written_is_read_back(contents):
    files = [{"path": f"m{i}.py", "content": f"{text}\n"} for i, text in enumerate(contents)]
    assert in_fences(written(files)) == (files, True)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({}, "the story is missing"),
        ({"story": " "}, "the story is empty"),
        ({"story": 3}, "not text"),
        ({"story": "x", "architecture": 3}, "architecture is a int"),
        ({"story": "x", "code_files": "x"}, "code_files is text, not a list"),
        ({"story": "x", "code_files": [{"path": "../x", "content": ""}]}, "safe path"),
        ({"input": 3}, "input is a int, not a mapping"),
    ],
)
def test_a_broken_row_says_why(row, why):
    with pytest.raises(ValueError, match=why):
        ROLE.example(row)


def test_wrapped_rows_and_stories_that_are_mappings_are_read():
    flat = {"story": "id: S1\ntitle: Cart", "architecture": "", "code_files": FILES}
    wrapped = {
        "input": {"story": {"id": "S1", "title": "Cart"}},
        "output": {"code_files": FILES},
        "metadata": {"model": "m"},
    }
    one, other = ROLE.example(flat), ROLE.example(wrapped)
    assert (one.id, one.inputs, one.reference) == (other.id, other.inputs, other.reference)
    assert other.tags == {"metadata": {"model": "m"}}
