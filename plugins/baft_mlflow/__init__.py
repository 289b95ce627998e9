"""Runs, and who is in service, on an MLflow server; active where ``MLFLOW_TRACKING_URI`` is set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import baft

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

URI = "MLFLOW_TRACKING_URI"


@baft.hookimpl
def baft_register_reporters(register: baft.Register[baft.Reporter]) -> None:
    """Offer the reporter ``mlflow``."""
    register("mlflow", _reporter)


@baft.hookimpl
def baft_candidate_promoted(promotion: baft.Promotion, env: Mapping[str, str]) -> None:
    """Set the alias ``champion`` of the role's registered model."""
    if env.get(URI):
        from .registry import crown

        crown(promotion, env)


def _reporter(env: Mapping[str, str]) -> baft.Reporter:
    if not env.get(URI):
        return _nothing
    from .reporter import MlflowReporter

    return MlflowReporter(env)


def _nothing(report: baft.Report, decision: baft.Decision, run: Path) -> Iterator[Path]:
    """Nobody asked for MLflow."""
    return iter(())
