"""The record of promotions survives killed writers, and says where it is broken."""

from __future__ import annotations

import pytest

from baft import DataError
from baft.promotion import history


def test_a_torn_line_of_a_killed_writer_is_mended(adopt, winner, project):
    path = project / "artifacts" / "promotions.jsonl"
    adopt(winner)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"action": "prom')

    assert len(history(project)) == 1
    adopt(winner)
    assert len(history(project)) == 2
    assert path.read_bytes().startswith(whole)


def test_a_broken_line_in_the_history_is_named(adopt, winner, project):
    adopt(winner)
    path = project / "artifacts" / "promotions.jsonl"
    path.write_bytes(b"{}\n" + path.read_bytes())

    with pytest.raises(DataError, match=r"promotions\.jsonl, line 1 does not hold a Promotion"):
        history(project)


def test_a_project_without_promotions_has_no_history(tmp_path):
    assert history(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
