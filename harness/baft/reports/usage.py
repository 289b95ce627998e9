"""What each arm consumed, in words: latency, tokens, tries again, memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import numbers as show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..records import ArmReport, Report, Usage


def usage_lines(report: Report) -> list[str]:
    """One line for each arm of which anything is known; recorded outputs consumed nothing."""
    return [line for line in map(_line, report.arms) if line]


def _line(arm: ArmReport) -> str:
    facts = "; ".join(_facts(arm.usage))
    return f"{arm.name}: {facts}." if facts else ""


def _facts(usage: Usage) -> Iterator[str]:
    if usage.latency_p50_s is not None:
        yield f"latency {_percentiles(usage.latency_p50_s, usage.latency_p95_s)}"
    if usage.first_token_p50_s is not None:
        yield f"first token {_percentiles(usage.first_token_p50_s, usage.first_token_p95_s)}"
    if usage.prompt_tokens or usage.completion_tokens:
        tokens = (show.count(usage.prompt_tokens), show.count(usage.completion_tokens))
        yield f"tokens {tokens[0]} in, {tokens[1]} out"
    if usage.retried:
        tries = "try" if usage.retried == 1 else "tries"
        yield f"{show.count(usage.retried)} further {tries}"
    if usage.peak_memory_bytes is not None:
        yield f"peak memory {show.byte_count(usage.peak_memory_bytes)}"


def _percentiles(p50: float | None, p95: float | None) -> str:
    return f"p50 {show.duration(p50)}, p95 {show.duration(p95)}"
