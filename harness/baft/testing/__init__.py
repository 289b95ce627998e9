"""For authors and testers of plugins: fakes, and the checks that every plugin must pass.

The fake servers need aiohttp, and load it when they start.
"""

from __future__ import annotations

from ..loader import load_plugins
from .answers import Answer, Asked, Fault, failing_first
from .check_backends import check_backend
from .check_roles import check_metric, check_role
from .check_trainers import check_trainer
from .check_verdicts import check_reporter, check_rule
from .fake_backend import FakeBackend
from .fake_models import FakeModel
from .fake_ollama import FakeOllama
from .fake_openai import FakeOpenAI
from .promises import prompt_of
from .samples import sample_decision, sample_report
from .tiny_mistral import make_tiny_mistral

__all__ = [
    "Answer",
    "Asked",
    "FakeBackend",
    "FakeModel",
    "FakeOllama",
    "FakeOpenAI",
    "Fault",
    "check_backend",
    "check_metric",
    "check_reporter",
    "check_role",
    "check_rule",
    "check_trainer",
    "failing_first",
    "load_plugins",
    "make_tiny_mistral",
    "prompt_of",
    "sample_decision",
    "sample_report",
]
