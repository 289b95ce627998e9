"""What an optimization says of itself before it starts: of what, with what, on which examples."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from baft import digest

from .recorded import relative
from .ways import WAYS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from baft import Backend, Example, Metric, Role

    from .options import Options


def asked_for(
    name: str,
    role: Role,
    metric: Metric,
    lm: Backend,
    output: Path,
    options: Mapping[str, Any],
    chosen: Options,
    threads: int,
) -> dict[str, Any]:
    """What was asked for, and of what."""
    used = {field.name: getattr(chosen, field.name) for field in fields(chosen)}
    arguments = {**options, **used, "threads": threads}
    del arguments["prompt_lm"]
    prompt_lm = chosen.prompt_lm or lm
    way = WAYS[name]
    packages = dict.fromkeys(("baft", "dspy", way.package))
    return {
        "role": role.name,
        "optimizer": name,
        "dspy_optimizer": way.dspy_class,
        "metric": metric.name,
        "metric_version": metric.version,
        "attainable_max": metric.attainable_max,
        "lm": relative(lm.spec, output),
        "lm_fingerprint": lm.fingerprint(),
        "lm_config": dict(lm.describe()),
        "prompt_lm": relative(prompt_lm.spec, output),
        "prompt_lm_fingerprint": prompt_lm.fingerprint(),
        "select_on_val": chosen.select_on_val,
        "arguments": json.loads(json.dumps(arguments, default=str)),
        "seed": chosen.seed,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {one: version(one) for one in packages if one is not None},
    }


def data_used(
    options: Mapping[str, Any], train: Sequence[Example], val: Sequence[Example]
) -> dict[str, Any]:
    """The examples: file and hash as given, number, and a digest of what was really used."""

    def told(name: str, examples: Sequence[Example]) -> dict[str, Any]:
        rows = [[e.id, dict(e.inputs), e.reference and dict(e.reference)] for e in examples]
        dataset = options.get(f"{name}_dataset")
        return {
            "dataset": None if dataset is None else str(dataset),
            "sha256": options.get(f"{name}_sha256"),
            "n": len(examples),
            "examples_sha256": digest(json.loads(json.dumps(rows, default=str))),
        }

    return {
        "train": told("train", train),
        "val": {**told("val", val), "how": options.get("selected_on")},
    }


def begun(facts: Mapping[str, Any], options: Options) -> dict[str, Any]:
    """What a search that goes on must have in common with its beginning."""
    same = ("optimizer", "role", "metric", "metric_version", "lm_fingerprint")
    versions = {f"version of {name}": facts["versions"][name] for name in facts["versions"]}
    return {
        **{name: facts[name] for name in same},
        "prompt_lm_fingerprint": facts["prompt_lm_fingerprint"],
        "train": facts["data"]["train"]["examples_sha256"],
        "val": facts["data"]["val"]["examples_sha256"],
        **options.deciding,
        **versions,
    }
