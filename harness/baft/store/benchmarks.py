"""Benchmarks: frozen, versioned definitions of comparisons in ``benchmarks/NAME.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import DataError, UsageError, did_you_mean
from ..policies import policy_data
from ..records import Decoding, Extraction, Policy
from .codec import from_data
from .files import file_sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """What a comparison asks, on which data, by which rules."""

    name: str
    version: int
    role: str
    dataset: str
    """Path relative to the folder that ``root`` names."""
    dataset_sha256: str = ""
    """Checked where it is given."""
    train: str = ""
    """Training data the contenders were made from, for the audit; empty if unknown."""
    sealed: str = ""
    """Dataset that is opened only for the final decision; empty where there is none."""
    sealed_sha256: str = ""
    """Checked where it is given."""
    metric: str
    metric_version: int = 1
    description: str = ""
    extraction: Extraction = "lenient"
    incumbent: str = "baseline"
    decoding: Decoding = field(default_factory=Decoding)
    policy: Policy = field(default_factory=Policy)
    models: Mapping[str, str] = field(default_factory=dict)
    """Spec by arm name; relative paths in them start at ``root``."""
    how_to_get: Mapping[str, str] = field(default_factory=dict)
    """By arm: what to type where the model is not there."""
    root: str = ""
    """Folder that relative paths start from; set when the file is read."""

    def with_overrides(self, **changes: Any) -> Benchmark:
        """The same benchmark with every change that is not None."""
        given = {key: value for key, value in changes.items() if value is not None}
        if given.get("extraction", "lenient") not in ("strict", "lenient"):
            raise UsageError(
                f"There is no extraction {given['extraction']!r}.", "Write strict or lenient."
            )
        try:
            decoding = {k: given.pop(k) for k in list(given) if k in Decoding.__slots__}
            return replace(self, decoding=replace(self.decoding, **decoding), **given)
        except ValueError as error:
            raise UsageError(f"{error}.", "Check the flags.") from error


def find_benchmark(name: str, project: Path | None) -> Benchmark:
    """A benchmark by name or path: the project's own first, then those that came with baft.

    Raises:
        UsageError: there is none; the nearest name is given.
        DataError: the file is broken.
    """
    if name.endswith(".toml") or "/" in name:
        return read_benchmark(Path(name))
    folders = _folders(project)
    for folder in folders:
        if (folder / f"{name}.toml").is_file():
            return read_benchmark(folder / f"{name}.toml")
    known = {path.stem for folder in folders for path in folder.glob("*.toml")}
    raise UsageError(f"There is no benchmark named {name!r}.", did_you_mean(name, known))


def frozen_datasets(project: Path | None, role: str) -> dict[str, str]:
    """Name of a benchmark of the role by the hash of the dataset that it measures on.

    Raises:
        DataError: the file of a benchmark is broken.
    """
    found: dict[str, str] = {}
    for path in (path for folder in _folders(project) for path in sorted(folder.glob("*.toml"))):
        benchmark = read_benchmark(path)
        data = Path(benchmark.root) / benchmark.dataset
        sha256 = benchmark.dataset_sha256 or (file_sha256(data) if data.is_file() else "")
        if benchmark.role == role:
            found.setdefault(sha256, benchmark.name)
    return found


def _folders(project: Path | None) -> list[Path]:
    """Where benchmarks are looked for, the project's own first."""
    folders = [project / "benchmarks"] if project is not None else []
    bundled = bundled_folder()
    return folders if bundled is None else [*folders, bundled / "benchmarks"]


def bundled_folder() -> Path | None:
    """Where the benchmarks, data and pocket model lie that came with baft; None if they did not.

    In a wheel that is a folder inside the package, in a checkout the project's root.
    """
    package = Path(__file__).parent.parent
    for folder in (package / "bundled", package.parent.parent):
        if (folder / "benchmarks" / "pocket.toml").is_file():
            return folder
    return None


def read_benchmark(path: Path) -> Benchmark:
    """The benchmark in a file.

    Raises:
        UsageError: missing, or its policy names none that there is.
        DataError: not TOML, an unknown key, or a value out of range.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"There is no benchmark at {path}.", "Check the path.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not valid TOML ({error}).", "Mend the file.") from error
    data.setdefault("name", path.stem)
    data["root"] = str(path.resolve().parent.parent)
    if "policy" in data:
        data["policy"] = policy_data(data["policy"])
    return from_data(Benchmark, data, str(path))


def check_dataset(benchmark: Benchmark, path: Path) -> None:
    """Refuse a dataset whose bytes are not those that the benchmark froze.

    Raises:
        DataError: the hash differs.
    """
    if benchmark.dataset_sha256 and path.is_file():
        _check(benchmark, path, benchmark.dataset_sha256, "dataset", "--dataset")


def check_sealed(benchmark: Benchmark, dataset_sha256: str) -> str:
    """The hash of the sealed set; its examples are not read. Empty where there is none.

    Raises:
        DataError: it is missing, not the one that was frozen, or the validation set itself.
    """
    if not benchmark.sealed:
        return ""
    path = Path(benchmark.sealed)
    if not path.is_file():
        raise DataError(f"There is no sealed set at {path}.", "Check the path.")
    found = file_sha256(path)
    if benchmark.sealed_sha256:
        _check(benchmark, path, benchmark.sealed_sha256, "sealed set", "--sealed")
    if found == dataset_sha256:
        raise DataError(
            f"{path} is the validation set itself.", "Name examples that no candidate was tried on."
        )
    return found


def _check(benchmark: Benchmark, path: Path, expected: str, what: str, flag: str) -> None:
    found = file_sha256(path)
    if found != expected:
        raise DataError(
            f"{path} is not the {what} that benchmark {benchmark.name!r} froze "
            f"(sha256 {found[:12]}…, not {expected[:12]}…).",
            f"Restore the file, or name your own data with {flag}.",
        )
