"""The developer: its role and a metric that looks at code with real tools, in a sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

import baft

if TYPE_CHECKING:
    from baft import Metric, Register, Role


@baft.hookimpl
def baft_register_roles(register: Register[Role]) -> None:
    """Offer the role ``dev``."""
    register("dev", _role, experimental=True)


@baft.hookimpl
def baft_register_metrics(register: Register[Metric]) -> None:
    """Offer the metric ``developer_code``."""
    register("developer_code", _metric, experimental=True)


def _role() -> Role:
    from .role import Developer

    return Developer()


def _metric() -> Metric:
    from .metric import DeveloperCodeMetric

    return DeveloperCodeMetric()
