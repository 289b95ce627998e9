"""Named policies, and policies changed by ``KEY=VALUE``; see ``benchmarks/README.md``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from .errors import UsageError, did_you_mean
from .records import Policy

if TYPE_CHECKING:
    from collections.abc import Sequence

POLICIES: Mapping[str, Policy] = {
    # The bar that the pipeline measured for its business analyst, never below what is in service.
    "threshold": Policy(),
    # The pipeline's evaluation strategy: what takes more to run must earn it. A fine-tune gains 5
    # points over the best simpler arm, a program 10 over the baseline; else the simpler one stays.
    "strategy": Policy(name="strategy", gain_over_simpler={"optimized": 0.10, "finetuned": 0.05}),
    # The pipeline's product owner: a cheaper student may fall behind its teacher a little.
    "retention": Policy(
        name="retention",
        threshold=0.82,
        not_worse=False,
        retention=0.9,
        min_validity=0.9,
        max_std=0.10,
        floor=0.70,
    ),
}

KEYS = tuple(found.name for found in fields(Policy) if found.name != "name")
"""What ``KEY=VALUE`` may set; ``tags`` and ``gain_over_simpler`` take a name after a dot."""

_MAPPINGS = ("tags", "gain_over_simpler")
_SWITCHES = ("not_worse", "audit")
_ALWAYS = ("threshold", "min_gain", "max_failure_rate", "confidence")
_WORDS = {"on": True, "true": True, "yes": True, "off": False, "false": False, "no": False}


def named_policy(name: str) -> Policy:
    """The policy of that name.

    Raises:
        UsageError: there is none; the nearest name is given.

    >>> named_policy("retention").floor
    0.7
    """
    if name not in POLICIES:
        raise UsageError(f"There is no policy named {name!r}.", did_you_mean(name, POLICIES))
    return POLICIES[name]


def change_policy(policy: Policy, rules: Sequence[str] = (), **changes: Any) -> Policy:
    """The policy with every change that is not None, then with every ``KEY=VALUE`` of ``rules``.

    Raises:
        UsageError: a key is unknown (the nearest is given) or a value out of range.

    >>> change_policy(Policy(), ["min_validity=90%", "tags.tier=0.8"]).tags
    {'tier': 0.8}
    """
    given = {key: value for key, value in changes.items() if value is not None}
    for rule in rules:
        key, equals, text = rule.partition("=")
        if not equals:
            raise UsageError(f"--rule {rule!r} is not KEY=VALUE.", "Write min_validity=0.9.")
        key, dot, inner = key.strip().partition(".")
        if key not in KEYS:
            raise UsageError(f"There is no rule {key!r}.", did_you_mean(key, KEYS))
        if bool(dot) != (key in _MAPPINGS):
            form = f"{key}=VALUE" if dot else f"{key}.NAME=VALUE"
            raise UsageError(f"--rule {rule!r} does not fit the rule {key}.", f"Write {form}.")
        if dot:
            before = given.get(key, getattr(policy, key))
            given[key] = _with(before, inner, _value(key, text.strip()))
        else:
            given[key] = _value(key, text.strip())
    try:
        changed = replace(policy, **given)
    except ValueError as error:
        raise UsageError(f"{error}.", "Write shares as 0.9 or 90%, gains as 0.05.") from error
    if changed.confidence not in ("off", "report", "require"):
        raise UsageError(
            f"There is no confidence {changed.confidence!r}.", "Write off, report or require."
        )
    return changed


def policy_data(data: Any) -> Any:
    """A policy as a file holds it, laid over the named one that its ``name`` gives.

    Raises:
        UsageError: there is no policy of that name.
    """
    if not isinstance(data, Mapping) or not isinstance(data.get("name"), str):
        return data
    base = named_policy(data["name"])
    return {**{key: getattr(base, key) for key in KEYS}, **data}


def _with(before: Mapping[str, float], name: str, value: Any) -> dict[str, float]:
    rest = {key: bound for key, bound in before.items() if key != name}
    return rest if value is None else {**rest, name: value}


def _value(key: str, text: str) -> Any:
    """The value that a key is set to: a number, a word, or None to turn the rule off."""
    if key == "confidence":
        return text
    if key in _SWITCHES:
        if text.lower() not in _WORDS:
            raise UsageError(f"{key} {text!r} is neither on nor off.", f"Write {key}=off.")
        return _WORDS[text.lower()]
    if text.lower() in ("off", "none") and key not in _ALWAYS:
        return None
    try:
        number = Decimal(text.removesuffix("%").strip())
    except InvalidOperation as error:
        raise UsageError(f"{key} {text!r} is not a number.", f"Write {key}=0.9.") from error
    return float(number / 100 if text.endswith("%") else number)
