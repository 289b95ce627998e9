from __future__ import annotations

import pytest

from . import sample


@pytest.fixture
def store(tmp_path):
    store = sample.write_run(tmp_path / "run")
    yield store
    store.close()


@pytest.fixture
def report(store):
    return sample.report_of(store)


@pytest.fixture
def decision(report):
    return sample.decision_of(report)


@pytest.fixture
def run(tmp_path):
    """Makes further runs: ``run(n=…, arms=…)`` gives store, report and decision."""
    stores = []

    def make(**options):
        store = sample.write_run(tmp_path / f"run{len(stores)}", **options)
        stores.append(store)
        report = sample.report_of(store)
        return store, report, sample.decision_of(report)

    yield make
    for store in stores:
        store.close()
