"""Report and Decision as terminal text, Markdown, JSON and HTML; the only place that rounds."""

from __future__ import annotations

from .ahead import make_ready
from .brief import brief_report
from .exports import export_csv, export_parquet
from .html import html_report
from .json_report import json_report, read_report
from .junit import junit_report, write_junit
from .markdown import markdown_report
from .rundiff import diff_runs, diff_text
from .served import served_text
from .standing import standing_text
from .terminal import render_arms, render_decision, render_summary, render_terminal
from .text import plain_text
from .write import write_decision, write_reports

__all__ = [
    "brief_report",
    "diff_runs",
    "diff_text",
    "export_csv",
    "export_parquet",
    "html_report",
    "json_report",
    "junit_report",
    "make_ready",
    "markdown_report",
    "plain_text",
    "read_report",
    "render_arms",
    "render_decision",
    "render_summary",
    "render_terminal",
    "served_text",
    "standing_text",
    "write_decision",
    "write_junit",
    "write_reports",
]
