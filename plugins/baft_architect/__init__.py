"""The architect, whole and in its two stages, and the pipeline's own metrics for it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import baft

if TYPE_CHECKING:
    from baft import Metric, Register, Role

ROLES = ("architect", "architect_stories", "architect_arch")
METRICS = ("architect_v1", "architect_v2", "stories_epics", "architecture_only")


@baft.hookimpl
def baft_register_roles(register: Register[Role]) -> None:
    """Offer ``architect`` and its stages."""
    for name in ROLES:
        register(name, partial(_role, name))


@baft.hookimpl
def baft_register_metrics(register: Register[Metric]) -> None:
    """Offer the metrics of the whole answer, in two versions, and of each stage."""
    for name in METRICS:
        register(name, partial(_metric, name))


def _role(name: str) -> Role:
    from .role import ROLES

    return ROLES[name]


def _metric(name: str) -> Metric:
    from .metric import METRICS

    return METRICS[name]
