"""The project and the fake models of the promotion tests, and a server over them."""

from __future__ import annotations

import pytest

from harness.promotion.conftest import config, make_model, make_run, plugins, project

from . import KEY, Talker, listening

__all__ = ["config", "make_model", "make_run", "plugins", "project"]


@pytest.fixture
def adopted(config, make_model):
    """The configuration with a model of this process in service."""
    make_model("talker", kind="config.json")
    entry = "{provider: huggingface_local, model: artifacts/models/talker, max_tokens: 99}"
    config.write_text(f"roles: {{ba: {entry}}}\n")
    return config


@pytest.fixture
def talker():
    return Talker()


@pytest.fixture
def running(plugins, adopted, talker):
    pytest.importorskip("starlette")
    with listening(plugins, adopted, talker) as found:
        yield found


@pytest.fixture
def client(running):
    """The real client of OpenAI."""
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=f"{running.url}/v1", api_key=KEY, max_retries=0) as found:
        yield found
