"""A decision becomes the new incumbent in config.yaml: servability, transaction, rollback."""

from __future__ import annotations

from .config import Config, InService, arm_in_service, in_service, read_config
from .drift import Finding, RoleStatus, overrides, status
from .restoring import history, rollback
from .servability import Servability, check_servable
from .transaction import Actor, Adoption, promote

__all__ = [
    "Actor",
    "Adoption",
    "Config",
    "Finding",
    "InService",
    "RoleStatus",
    "Servability",
    "arm_in_service",
    "check_servable",
    "history",
    "in_service",
    "overrides",
    "promote",
    "read_config",
    "rollback",
    "status",
]
