"""The product owner: its role and the pipeline's own metric for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import baft

if TYPE_CHECKING:
    from baft import Metric, Register, Role


@baft.hookimpl
def baft_register_roles(register: Register[Role]) -> None:
    """Offer the role ``product_owner``."""
    register("product_owner", _role)


@baft.hookimpl
def baft_register_metrics(register: Register[Metric]) -> None:
    """Offer the metric ``product_owner``."""
    register("product_owner", _metric)


def _role() -> Role:
    from .role import PRODUCT_OWNER

    return PRODUCT_OWNER


def _metric() -> Metric:
    from .metric import ProductOwnerMetric

    return ProductOwnerMetric()
