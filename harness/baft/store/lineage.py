"""What a model was made from, by its own record: training_info.json, optimization_info.json.

The files lie beside an adapter or a program and name the data by path and hash. Data that has moved
is found again by its hash; data that is gone or has changed is named with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import BaftError
from .codec import read_json
from .datasets import read_dataset
from .files import file_sha256

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..protocols import Role
    from ..records import Example, Manifest

TRAINING, OPTIMIZATION = "training_info.json", "optimization_info.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One dataset that a model was made with."""

    use: Literal["trained", "epoch", "selected"]
    """Learnt from; the best epoch was chosen by the loss on it; chosen by its score on it."""
    name: str
    """Path as it was recorded."""
    sha256: str = ""
    """Of the file's bytes then; empty where it was not recorded."""
    examples: tuple[Example, ...] | None = None
    """None where the file could not be read."""
    problem: str = ""
    """Why not, as the end of a sentence."""
    named: bool = False
    """The benchmark names it; the model has no record of its own."""
    insisted: bool = False
    """Whoever made it chose to select on a benchmark's own examples (``--select-on-val``)."""


def lineage(spec: str, root: Path, role: Role, known: Mapping[str, Path]) -> list[Source]:
    """Every dataset that a model's own records name; empty where it has no record.

    Args:
        spec: of the model; those within it (``?lm=``, ``?base=``) are looked at too.
        root: where relative paths in the spec start.
        role: reads the data.
        known: files by hash that are looked at first.
    """
    return [
        source
        for folder in _folders(spec, root)
        for info, read in ((TRAINING, _training), (OPTIMIZATION, _optimization))
        if (folder / info).is_file()
        for source in _sources(folder / info, read, root, role, known)
    ]


def read_source(source: Source, path: Path, role: Role) -> Source:
    """The source with the examples of a file.

    Returns:
        The source with a problem where the file cannot be read.
    """
    try:
        examples = read_dataset(path, role, allow_invalid=True).examples
    except BaftError as error:
        return replace(source, problem=error.message.rstrip("."))
    return replace(source, examples=examples)


def _folders(spec: str, root: Path) -> Iterator[Path]:
    scheme, colon, rest = spec.partition(":")
    head, _, query = (rest if colon else scheme).partition("?")
    path = root / head
    if head and path.exists():
        yield path if path.is_dir() else path.parent
    if query:
        yield from _folders(query.partition("=")[2], root)


def _sources(
    path: Path, read: Any, root: Path, role: Role, known: Mapping[str, Path]
) -> Iterator[Source]:
    try:
        info = read_json(path, "record of training")
        if not isinstance(info, dict):
            raise BaftError(f"{path} holds no JSON object.")
    except BaftError as error:
        yield Source(use="trained", name=path.name, problem=error.message.rstrip("."))
        return
    for source in read(info):
        if not source.name:
            yield replace(source, problem=f"{path} does not name the file")
            continue
        file, problem = _find(source, path.parent, root, known)
        if file is None:
            yield replace(source, problem=problem)
        else:
            yield read_source(source, file, role)


def _training(info: Mapping[str, Any]) -> list[Source]:
    found = [_source("trained", info, "train")]
    if info.get("val_examples") != 0:
        found.append(_source("epoch", info, "val"))
    return found


def _optimization(info: Mapping[str, Any]) -> list[Source]:
    asked = info.get("arguments")
    told = {**(asked if isinstance(asked, dict) else {}), **info}
    selected = _source("selected", told, "val")
    if not selected.name:  # recorded in words alone
        how = _text(told.get("selected_on"))
        name = how.removeprefix("--val ") if how.startswith("--val ") else ""
        same = selected.sha256 == _text(told.get("train_sha256"))
        name = name or (_text(told.get("train_dataset")) if same else "")
        selected = replace(selected, name=name)
    selected = replace(selected, insisted=told.get("select_on_val") is True)
    return [_source("trained", told, "train"), selected]


def _source(use: Any, info: Mapping[str, Any], part: str) -> Source:
    name, sha256 = _text(info.get(f"{part}_dataset")), _text(info.get(f"{part}_sha256"))
    return Source(use=use, name=name, sha256=sha256)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _find(
    source: Source, folder: Path, root: Path, known: Mapping[str, Path]
) -> tuple[Path | None, str]:
    """The file with the recorded bytes, or why there is none."""
    places = [known[source.sha256]] if source.sha256 in known else []
    starts = (root, folder, *folder.resolve().parents)
    places += [place for start in starts if (place := start / source.name).is_file()]
    for place in places:
        if not source.sha256 or file_sha256(place) == source.sha256:
            return place, ""
    return None, "it has changed since (its hash differs)" if places else "the file is gone"


def sources_of(manifest: Manifest, role: Role) -> dict[str, list[Source]]:
    """By arm, the data it was made from: its own record, else what the benchmark names for all.

    The benchmark's file is looked at too where the record's own is gone.
    """
    root = Path(str(manifest.options.get("cwd", ".")))
    known = {manifest.dataset_sha256: root / manifest.dataset}
    named = []
    if manifest.train:
        path = root / manifest.train
        sha256 = file_sha256(path) if path.is_file() else ""
        known |= {sha256: path} if sha256 else {}
        named = [Source(use="trained", name=manifest.train, sha256=sha256, named=True)]
        named = [read_source(source, path, role) for source in named]
    known = {sha256: path for sha256, path in known.items() if path.is_file()}
    found = {}
    for arm in manifest.arms:
        own = lineage(arm.spec, root, role, known)
        is_told = any(s.use == "trained" and s.examples is not None for s in own)
        found[arm.name] = own if is_told else [*own, *named]
    return found
