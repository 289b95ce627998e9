from __future__ import annotations

import pytest

from baft.reports import plain_text
from baft.reports.text import cut, markdown, one_line, visible


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[2J\x1b[31m",
        "\x1b]0;new title\x07",
        "\x1b]8;;http://example.org\x1b\\",
        "\x1bPq\x1b\\",
        "\x1b",
        "\x00\x07\x08\x7f\x9b",
        "\u202e\u2066\u200f\ufeff",
        "\ud800",
        "\r",
    ],
)
def test_a_terminal_obeys_nothing(text):
    assert plain_text(f"a{text}b") == ("ab" if text != "\x1b" else "a")


def test_plain_text_keeps_lines_and_languages():
    text = "Pádel\n\tpriorität 高 👩‍🚒"
    assert plain_text(text) == text
    assert one_line(text) == "Pádel priorität 高 👩‍🚒"


def test_on_a_page_hidden_characters_are_named():
    assert visible("a\x00\u202e\ud800\x1b") == "a⟨U+0000⟩⟨U+202E⟩⟨U+D800⟩⟨U+001B⟩"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<img src=x>", "&lt;img src=x>"),
        ("a | b", r"a \| b"),
        ("[x](javascript:alert(1))", r"\[x\](javascript:alert(1))"),
        ("`code` *b* _i_ ~~s~~", r"\`code\` \*b\* \_i\_ \~\~s\~\~"),
        ("snake_case", "snake_case"),
        ("# title", r"\# title"),
        ("- item", r"\- item"),
        ("1. item", r"1\. item"),
        ("> quote", r"\> quote"),
        ("0.9286", "0.9286"),
        ("+0.03", "+0.03"),
        ("two\n\nlines", "two lines"),
        ("&lt;b>", "&amp;lt;b>"),
    ],
)
def test_markdown_shows_text_as_it_is(text, shown):
    assert markdown(text) == shown


def test_cut_says_how_much_is_missing():
    assert cut("abcdef", 4) == ("abcd", 2)
    assert cut("abcd", 4) == ("abcd", 0)
