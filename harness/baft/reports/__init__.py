"""Report and Decision as terminal text, Markdown, JSON and HTML; the only place that rounds."""

from __future__ import annotations

from .html import html_report
from .json_report import json_report, read_report
from .markdown import markdown_report
from .terminal import render_arms, render_decision, render_summary, render_terminal
from .text import plain_text
from .write import write_decision, write_reports

__all__ = [
    "html_report",
    "json_report",
    "markdown_report",
    "plain_text",
    "read_report",
    "render_arms",
    "render_decision",
    "render_summary",
    "render_terminal",
    "write_decision",
    "write_reports",
]
