"""A promotion is undone, or an earlier one comes back; both are recorded."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import replace

import pytest
import yaml

from baft import DataError, UsageError
from baft.promotion import history, in_service, read_config
from baft.promotion.ledger import Ledger

from .conftest import CONFIG


@pytest.fixture
def three(adopt, make_model, make_run, config):
    """Three promotions of ``ba``; the bytes before the first and after each."""
    states = [config.read_bytes()]
    for name in ("one", "two", "three"):
        adopt(make_run(f"lora:{make_model(name, answer=f'title: {name}')}", name=name))
        states.append(config.read_bytes())
    return states


def test_rollback_restores_the_bytes_and_is_recorded(adopt, undo, winner, config, project):
    adopt(winner)

    record = undo()

    assert config.read_bytes() == CONFIG.encode()
    assert history(project)[1] == record
    assert (record.action, record.arm, record.spec) == ("rollback", "1", "ollama:granite4")
    assert (
        yaml.safe_load((project / record.backup).read_bytes())["roles"]["ba"]["max_tokens"] == 2048
    )


def test_there_is_nothing_to_roll_back_twice(adopt, undo, winner):
    adopt(winner)
    undo()

    with pytest.raises(UsageError, match="No promotion of ba stands"):
        undo()


def test_a_rollback_of_an_unknown_role_names_the_role(undo):
    with pytest.raises(DataError, match=r"no entry roles\.bq"):
        undo("bq")


def test_rollbacks_go_back_step_by_step(adopt, undo, make_model, make_run, config):
    bytes_ = []
    for name in ("one", "two"):
        adopt(make_run(f"lora:{make_model(name, answer=f'title: {name}')}", name=name))
        bytes_.append(config.read_bytes())

    assert undo().arm == "2"
    assert config.read_bytes() == bytes_[0]
    assert undo().arm == "1"
    assert config.read_bytes() == CONFIG.encode()
    adopt(config.parent / "artifacts" / "runs" / "two")
    assert config.read_bytes() != CONFIG.encode()
    assert undo().arm == "5"
    assert config.read_bytes() == CONFIG.encode()


def test_a_rollback_knows_the_fingerprint_of_what_it_restores(adopt, undo, make_model, make_run):
    first = adopt(make_run(f"lora:{make_model('one', answer='title: one')}", name="one"))
    adopt(make_run(f"lora:{make_model('two', answer='title: two')}", name="two"))

    record = undo()

    assert record.spec == first.promotion.spec
    assert record.fingerprint == first.promotion.fingerprint


def test_a_file_changed_since_is_not_rolled_back_without_force(adopt, undo, winner, config):
    adopt(winner)
    mine = config.read_bytes() + b"# mine\n"
    config.write_bytes(mine)

    with pytest.raises(UsageError, match="was changed by someone else since promotion 1") as caught:
        undo()
    assert "--force" in caught.value.hint
    assert config.read_bytes() == mine

    record = undo(force=True)
    assert config.read_bytes() == CONFIG.encode()
    assert record.forced
    assert (config.parent / record.backup).read_bytes() == mine


def test_a_file_broken_since_can_still_be_rolled_back(adopt, undo, winner, config):
    adopt(winner)
    config.write_text("roles: [\n")

    undo(force=True)

    assert config.read_bytes() == CONFIG.encode()


def test_a_later_promotion_of_another_role_stands_in_the_way(
    adopt, undo, plugins, project, config, make_model, make_run
):
    adopt(make_run(f"lora:{make_model()}"))
    ledger = Ledger(project)
    before = read_config(config)
    raw = before.raw.replace(b"gpt-4o-mini", b"gpt-5")
    later = replace(
        history(project)[0],
        role="qa",
        sha256_before=before.sha256,
        sha256_after=hashlib.sha256(raw).hexdigest(),
        backup=ledger.shown(ledger.back_up(before.raw, config)),
    )
    ledger.commit(later, config.resolve(), raw)

    with pytest.raises(UsageError, match=r"changed by promotion 2 \(qa\)"):
        undo("ba")
    assert undo("qa").arm == "2"
    assert undo("ba").arm == "1"
    assert config.read_bytes() == CONFIG.encode()


def test_a_damaged_backup_is_refused(adopt, undo, winner, config, project):
    record = adopt(winner).promotion
    (project / record.backup).write_text("roles: {}\n")
    after = config.read_bytes()

    with pytest.raises(DataError, match="missing or damaged"):
        undo(force=True)
    assert config.read_bytes() == after


def test_an_earlier_promotion_comes_back(three, undo, config, project, plugins):
    record = undo(to=1)

    assert config.read_bytes() == three[1]
    first = history(project)[0]
    assert (record.action, record.to, record.arm) == ("rollback", 1, "finetuned")
    assert (record.spec, record.fingerprint) == (first.spec, first.fingerprint)
    assert in_service(read_config(config), "ba", plugins).spec.endswith("models/one")


def test_after_going_back_the_next_step_starts_there(three, undo, config):
    undo(to=1)

    assert undo().arm == "1"
    assert config.read_bytes() == three[0]


def test_what_was_undone_can_come_back_with_all_that_stood_then(three, undo, config):
    undo()
    undo()
    undo(to=3)
    assert config.read_bytes() == three[3]

    assert [undo().arm for _ in range(3)] == ["3", "2", "1"]
    assert config.read_bytes() == three[0]


def test_going_back_there_and_forth_is_recorded_without_a_gap(three, undo, project):
    for to in (1, 3, 2):
        undo(to=to)

    records = history(project)
    assert [record.to for record in records] == [None, None, None, 1, 3, 2]
    for earlier, later in itertools.pairwise(records):
        assert later.sha256_before == earlier.sha256_after


def test_without_a_role_the_last_promotion_is_undone(three, undo, config):
    assert undo(role=None).role == "ba"
    assert config.read_bytes() == three[2]


def test_with_nothing_promoted_nothing_is_undone(undo, config):
    with pytest.raises(UsageError, match="No promotion stands in"):
        undo(role=None)


@pytest.mark.parametrize(("to", "role"), [(0, "ba"), (-1, "ba"), (4, "ba"), (9, None), (1, "qa")])
def test_only_a_promotion_of_the_role_can_come_back(three, undo, config, project, to, role):
    undo(to=2)  # number 4

    with pytest.raises(UsageError, match=f"There is no promotion {to}") as caught:
        undo(to=to, role=role)
    assert "baft history" in caught.value.hint
    assert config.read_bytes() == three[2]
    assert len(history(project)) == 4


def test_what_is_there_already_does_not_come_back(three, undo, project):
    with pytest.raises(UsageError, match="what promotion 3 left already"):
        undo(to=3)
    assert len(history(project)) == 3


def test_edits_between_promotions_are_not_lost_without_force(
    adopt, undo, make_model, make_run, config, project
):
    adopt(make_run(f"lora:{make_model('one', answer='title: one')}", name="one"))
    first = config.read_bytes()
    config.write_bytes(first + b"# mine\n")
    adopt(make_run(f"lora:{make_model('two', answer='title: two')}", name="two"))
    second = config.read_bytes()

    with pytest.raises(UsageError, match="changed by someone else since promotion 1") as caught:
        undo(to=1)
    assert "--force" in caught.value.hint
    assert config.read_bytes() == second

    record = undo(to=1, force=True)
    assert record.forced
    assert config.read_bytes() == first
    assert (project / record.backup).read_bytes() == second


def test_another_roles_promotion_is_not_lost_without_force(
    adopt, undo, make_model, make_run, config
):
    adopt(make_run(f"lora:{make_model('one', answer='title: one')}", name="one"))
    first = config.read_bytes()
    adopt(make_run(f"lora:{make_model('qa', answer='title: qa')}", name="qa", role="qa"))
    adopt(make_run(f"lora:{make_model('two', answer='title: two')}", name="two"))

    with pytest.raises(UsageError, match=r"changed by promotion 2 \(qa\) since promotion 1 of ba"):
        undo(to=1)
    undo(to=1, force=True)
    assert config.read_bytes() == first


def test_bytes_that_are_no_longer_kept_are_refused(three, undo, config, project):
    for path in (project / "artifacts/promotions/backups").iterdir():
        path.unlink()

    with pytest.raises(DataError, match="missing or damaged"):
        undo(to=1)
    assert config.read_bytes() == three[3]


def test_a_moved_project_can_still_go_back(three, undo, project, tmp_path, plugins):
    moved = project.rename(tmp_path / "moved")

    record = undo(to=1, project=moved, config=moved / "config.yaml")

    assert (moved / "config.yaml").read_bytes() == three[1]
    assert record.fingerprint == history(moved)[0].fingerprint


def test_a_record_that_undoes_nothing_is_named(three, undo, project):
    undo()
    path = project / "artifacts" / "promotions.jsonl"
    path.write_text(path.read_text().replace('"arm": "3"', '"arm": "x"'))

    with pytest.raises(DataError, match=r"line 4 does not hold a Promotion.*promotion's number"):
        undo()
