"""What the host asks of plugins. This file is the public API: signatures and docstrings only.

``baft_register_<nouns>(register)`` offers things; ``baft_<noun>_<past participle>`` is told about
things (its return is ignored, an exception in it is reported and changes nothing);
``baft_recognise_path`` is a question with one answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .protocols import (
        Backend,
        Executor,
        Exporter,
        GateRule,
        Metric,
        Optimizer,
        Register,
        Reporter,
        Role,
        Trainer,
    )
    from .records import Decision, Promotion, Report, Scored

hookspec = pluggy.HookspecMarker("baft")
hookimpl = pluggy.HookimplMarker("baft")


@hookspec
def baft_register_backends(register: Register[Backend]) -> None:
    """Offer backends: ``register(scheme, factory)``; the factory gets ``(target, context)``."""


@hookspec
def baft_register_roles(register: Register[Role]) -> None:
    """Offer roles: ``register(name, factory)``; the factory gets no arguments."""


@hookspec
def baft_register_metrics(register: Register[Metric]) -> None:
    """Offer metrics: ``register(name, factory)``; the factory gets no arguments."""


@hookspec
def baft_register_trainers(register: Register[Trainer]) -> None:
    """Offer trainers: ``register(name, factory)``; the factory gets no arguments."""


@hookspec
def baft_register_optimizers(register: Register[Optimizer]) -> None:
    """Offer optimizers: ``register(name, factory)``; the factory gets no arguments."""


@hookspec
def baft_register_gate_rules(register: Register[GateRule]) -> None:
    """Offer gate rules: ``register(name, factory)``; the factory returns the rule."""


@hookspec
def baft_register_reporters(register: Register[Reporter]) -> None:
    """Offer reporters: ``register(name, factory)``; the factory gets ``(env)``."""


@hookspec
def baft_register_exporters(register: Register[Exporter]) -> None:
    """Offer exporters: ``register(name, factory)``; the factory gets ``(host, env)``."""


@hookspec
def baft_register_executors(register: Register[Executor]) -> None:
    """Offer executors: ``register(name, factory)``.

    The factory gets the options of ``--executor NAME?KEY=VALUE&…`` as a mapping of texts.
    """


@hookspec
def baft_register_commands(register: Register[Any]) -> None:
    """Offer commands: ``register(name, factory)``; the factory returns a function for Typer."""


@hookspec(firstresult=True)
def baft_recognise_path(path: Path) -> str | None:
    """Name the spec of a bare path, such as ``lora:DIR``. First answer that is not None wins."""


@hookspec
def baft_run_started(run: Path, manifest: Mapping[str, Any]) -> None:
    """A comparison is about to generate; ``manifest`` is the content of its run.json."""


@hookspec
def baft_example_scored(run: Path, arm: str, scored: Scored) -> None:
    """One example of one arm has its score or failure."""


@hookspec
def baft_run_finished(run: Path, report: Report) -> None:
    """All arms are done and the report is written."""


@hookspec
def baft_decision_made(run: Path, decision: Decision) -> None:
    """The gate decided."""


@hookspec
def baft_candidate_promoted(promotion: Promotion, env: Mapping[str, str]) -> None:
    """A config.yaml was changed: a promotion or a rollback."""


@hookspec
def baft_training_logged(output: Path, step: Mapping[str, Any]) -> None:
    """A trainer logged a step."""
