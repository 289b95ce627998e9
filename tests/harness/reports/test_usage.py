"""What each arm consumed, in every form of the report."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace

from rich.console import Console

from baft.records import Usage
from baft.reports import html_report, json_report, markdown_report, render_terminal
from baft.reports.usage import usage_lines


def test_terminal_has_a_line_for_each_arm(report, decision):
    console = Console(file=io.StringIO(), width=300)
    render_terminal(report, decision, {}, console)
    lines = console.file.getvalue().splitlines()
    known = "latency p50 1.5 s, p95 2.2 s; first token p50 125 ms, p95 250 ms; tokens 4,000 in, "
    known += "9,000 out; 3 further tries"
    assert f"baseline: {known}." in lines
    assert f"finetuned: {known}; peak memory 1.5 GiB." in lines


def test_recorded_outputs_consumed_nothing_and_get_no_line(report):
    arms = tuple(replace(arm, usage=Usage(wall_s=0.1)) for arm in report.arms)
    assert usage_lines(replace(report, arms=arms)) == []
    one = replace(report, arms=(replace(report.arms[0], usage=Usage(retried=1)),))
    assert usage_lines(one) == ["baseline: 1 further try."]


def test_markdown_and_html_have_a_table(store, report, decision):
    row = re.search(r"^\| finetuned \| 1\.5 s .*$", markdown_report(report, decision), re.M)[0]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    told = ["1.5 s", "2.2 s", "125 ms", "250 ms", "4,000", "9,000", "217", "41.5 s", "3"]
    assert cells[1:10] == told
    assert cells[-1] == "1.5 GiB"
    page = "".join(html_report(store, report, decision))
    table = page[page.index('id="usage"') : page.index("</table>", page.index('id="usage"'))]
    for cell in (*told, "1.5 GiB", "n/a"):
        assert f"<td>{cell}</td>" in table


def test_json_has_every_figure(store, report, decision):
    found = json.loads("".join(json_report(store, report, decision)))
    usage = found["models"]["finetuned"]["usage"]
    assert usage["first_token_p50_s"] == 0.125
    assert usage["first_token_p95_s"] == 0.25
    assert (usage["latency_p50_s"], usage["latency_p95_s"]) == (1.5, 2.25)
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (4000, 9000)
    assert (usage["retried"], usage["peak_memory_bytes"]) == (3, 3 << 29)
