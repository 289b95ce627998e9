"""Named policies and policies changed by KEY=VALUE."""

from __future__ import annotations

import pytest

from baft import Policy, UsageError
from baft.policies import KEYS, POLICIES, change_policy, named_policy
from baft.store.benchmarks import read_benchmark

BENCHMARK = 'version = 1\nrole = "ba"\ndataset = "d"\nmetric = "m"\n[policy]\n'


def test_every_policy_knows_its_name_and_the_first_is_the_default():
    assert {name: policy.name for name, policy in POLICIES.items()} == {n: n for n in POLICIES}
    assert named_policy("threshold") == Policy()


def test_an_unknown_policy_names_the_nearest():
    with pytest.raises(UsageError, match="no policy named 'strategie'") as caught:
        named_policy("strategie")
    assert "'strategy'" in caught.value.hint


@pytest.mark.parametrize(
    ("rule", "key", "value"),
    [
        ("threshold=0.9", "threshold", 0.9),
        ("threshold=85.35%", "threshold", 0.8535),
        ("min_gain=-0.02", "min_gain", -0.02),
        ("not_worse=off", "not_worse", False),
        ("audit=true", "audit", True),
        ("min_validity = 90 %", "min_validity", 0.9),
        ("floor=off", "floor", None),
        ("max_std=none", "max_std", None),
        ("max_latency_s=10", "max_latency_s", 10.0),
        ("max_tokens_per_example=800", "max_tokens_per_example", 800.0),
        ("retention=0.9", "retention", 0.9),
        ("confidence=require", "confidence", "require"),
        ("tags.tier=0.8", "tags", {"tier": 0.8}),
        ("gain_over_simpler.finetuned=0.03", "gain_over_simpler", {"finetuned": 0.03}),
    ],
)
def test_one_rule_is_set(rule, key, value):
    assert getattr(change_policy(Policy(), [rule]), key) == value


def test_every_key_of_the_policy_can_be_set_and_no_other():
    assert set(KEYS) == set(Policy.__dataclass_fields__) - {"name"}


def test_rules_are_set_in_order_and_leave_the_others():
    changed = change_policy(
        named_policy("strategy"),
        ["gain_over_simpler.finetuned=off", "tags.tier=0.7", "tags.lang=0.6", "tags.tier=0.8"],
        threshold=0.8,
        min_gain=None,
    )
    assert changed.gain_over_simpler == {"optimized": 0.10}
    assert changed.tags == {"lang": 0.6, "tier": 0.8}
    assert (changed.name, changed.threshold, changed.min_gain) == ("strategy", 0.8, 0.0)


@pytest.mark.parametrize(
    ("rule", "hint"),
    [
        ("min_validty=0.9", "'min_validity'"),
        ("tag.tier=0.9", "'tags'"),
        ("tags=0.9", "tags.NAME=VALUE"),
        ("floor.x=0.9", "floor=VALUE"),
        ("name=strategy", "Known: "),
        ("floor", "KEY=VALUE"),
        ("floor=high", "floor=0.9"),
        ("threshold=off", "threshold=0.9"),
        ("audit=perhaps", "audit=off"),
        ("floor=85", "90%"),
        ("max_std=nan", "90%"),
        ("confidence=loud", "off, report or require"),
    ],
)
def test_a_rule_that_cannot_be_set_says_what_can(rule, hint):
    with pytest.raises(UsageError) as caught:
        change_policy(Policy(), [rule])
    assert hint in f"{caught.value.message} {caught.value.hint}"


def test_a_benchmark_may_start_from_a_named_policy(tmp_path):
    path = tmp_path / "b.toml"
    path.write_text(f'{BENCHMARK}name = "retention"\nfloor = 0.6\ntags = {{tier = 0.8}}\n')
    found = read_benchmark(path).policy
    assert (found.name, found.max_std, found.floor) == ("retention", 0.10, 0.6)
    assert found.tags == {"tier": 0.8}


def test_a_benchmark_that_names_no_policy_has_the_default(tmp_path):
    path = tmp_path / "b.toml"
    path.write_text(f"{BENCHMARK}threshold = 0.9\n")
    assert read_benchmark(path).policy == Policy(threshold=0.9)


def test_a_benchmark_that_names_an_unknown_policy_is_refused(tmp_path):
    path = tmp_path / "b.toml"
    path.write_text(f'{BENCHMARK}name = "strict"\n')
    with pytest.raises(UsageError, match="no policy named 'strict'"):
        read_benchmark(path)
