from __future__ import annotations

from dataclasses import replace

import pytest

from baft.store.codec import to_json
from harness.reports import sample

from . import TOKEN, Client, listening

pytest.importorskip("starlette")


@pytest.fixture
def project(tmp_path):
    return tmp_path / "project"


@pytest.fixture
def add_run(project):
    """Writes a finished run with a decision; returns its folder."""

    def add(name="20260101T000000Z-pocket-aaaa", changes=None, **options):
        folder = project / "artifacts" / "runs" / name
        store = sample.write_run(folder, **options)
        store.write_manifest(replace(store.manifest(), run_id=name, **(changes or {})))
        decision = sample.decision_of(sample.report_of(store))
        (folder / "decision.json").write_text(to_json(decision), encoding="utf-8")
        store.close()
        return folder

    return add


@pytest.fixture
def stranger(project):
    """A client at the right address that was never given the token."""
    with listening(project) as port:
        yield Client(port)


@pytest.fixture
def browser(stranger):
    """The client that opened the printed address."""
    assert stranger.get("/", {"token": TOKEN}).status == 200
    return stranger
