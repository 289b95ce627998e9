"""Finding a run by its folder or id."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from .common import State


def find_run(here: State, name: Path) -> Path:
    """The run's folder: a path, the name of a folder in artifacts/runs/, or ``last``.

    Raises:
        UsageError: there is none of that name.
    """
    if (name / "run.json").is_file():
        return name
    folder = here.project / "artifacts" / "runs"
    known = sorted(path.parent.name for path in folder.glob("*/run.json"))
    if str(name) == "last" and known:
        return folder / known[-1]
    if str(name) in known:
        return folder / name
    raise UsageError(f"There is no run {str(name)!r}.", did_you_mean(str(name), known[-10:]))
