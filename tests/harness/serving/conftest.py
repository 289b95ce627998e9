"""The project and the fake models of the promotion tests."""

from __future__ import annotations

from harness.promotion.conftest import config, make_model, make_run, plugins, project

__all__ = ["config", "make_model", "make_run", "plugins", "project"]
