"""For authors and testers of plugins: fakes, and the checks that every plugin must pass.

The fake servers need aiohttp, and load it when they start.
"""

from __future__ import annotations

from .answers import Answer, Asked, Fault, failing_first
from .contracts import check_backend, check_metric, check_role, prompt_of
from .fake_backend import FakeBackend
from .fake_models import FakeModel
from .fake_ollama import FakeOllama
from .fake_openai import FakeOpenAI

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
    "check_role",
    "failing_first",
    "prompt_of",
]
