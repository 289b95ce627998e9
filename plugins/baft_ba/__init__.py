"""The business analyst: its role and the pipeline's own metric for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import baft

if TYPE_CHECKING:
    from baft import Metric, Register, Role


@baft.hookimpl
def baft_register_roles(register: Register[Role]) -> None:
    """Offer the role ``ba``."""
    register("ba", _role)


@baft.hookimpl
def baft_register_metrics(register: Register[Metric]) -> None:
    """Offer the metric ``ba_requirements``."""
    register("ba_requirements", _metric)


def _role() -> Role:
    from .role import BusinessAnalyst

    return BusinessAnalyst()


def _metric() -> Metric:
    from .metric import RequirementsMetric

    return RequirementsMetric()
