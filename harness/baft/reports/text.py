"""Untrusted text made harmless: for a terminal, for a page, for Markdown."""

from __future__ import annotations

import re

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)"  # OSC and strings: titles, links
    r"|\x1b[ -/]*[0-~]?",  # everything else that starts with ESC
    re.DOTALL,
)
"""Escape sequences by ECMA-48."""

_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Controls, bidi overrides, invisible marks and lone surrogates; tab and line feed are fine."""

_MARKDOWN = re.compile(r"([\\`*\[\]|~]|(?<!\w)_|_(?!\w))")
_MARKDOWN_START = re.compile(r"^(#+|[+\-]|\d+[.)]|=+|>)(?=\s|$|[#=>])")


def plain_text(text: str) -> str:
    r"""Text for a terminal or a log: escape sequences, controls and bidi overrides taken out.

    >>> plain_text("\x1b[31mred\x1b[0m \u202eevil")
    'red evil'
    """
    return _HIDDEN.sub("", _ESCAPES.sub("", text.replace("\r\n", "\n")))


def one_line(text: str) -> str:
    r"""Plain text with every run of white space as one blank.

    >>> one_line(" a\n  b ")
    'a b'
    """
    return " ".join(plain_text(text).split())


def visible(text: str) -> str:
    r"""Text for a page: what cannot be seen is named instead of obeyed.

    >>> visible("a\x00b\u202ec")
    'a⟨U+0000⟩b⟨U+202E⟩c'
    """
    text = text.replace("\r\n", "\n")
    return _HIDDEN.sub(lambda found: f"⟨U+{ord(found.group()):04X}⟩", text)


def markdown(text: str) -> str:
    r"""One line of Markdown that shows the text as it is: no markup, no table cell, no HTML.

    >>> markdown("<b>|*x*")
    '&lt;b>\\|\\*x\\*'
    """
    line = " ".join(visible(text).split())
    line = _MARKDOWN.sub(r"\\\1", line)
    line = line.replace("&", "&amp;").replace("<", "&lt;")
    return _MARKDOWN_START.sub(lambda found: f"{found[1][:-1]}\\{found[1][-1]}", line)


def cut(text: str, limit: int) -> tuple[str, int]:
    """The first ``limit`` characters, and how many were left out."""
    return (text, 0) if len(text) <= limit else (text[:limit], len(text) - limit)


def label(name: str) -> str:
    """A component or field as a reader sees it.

    >>> label("functional_requirements")
    'functional requirements'
    """
    return name.replace("_", " ")
