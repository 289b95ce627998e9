"""What an optimization left in a folder, for a terminal: instructions, demonstrations, trials."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DataError
from ..store.codec import read_json
from . import numbers as show
from .history import Optimization, read_optimization
from .text import cut, one_line, plain_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.console import Console, RenderableType
    from rich.table import Table

INFO = "optimization_info.json"
PROGRAMS = ("program_components.json", "program.json")
SHOWN = 100
"""Characters of a field of a demonstration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimized:
    """A folder that an optimization wrote, or another tool that saves programs alike."""

    folder: str
    info: Mapping[str, Any]
    """All of ``optimization_info.json``; empty where there is none."""
    modules: Mapping[str, Mapping[str, Any]]
    """``instructions`` and ``demos`` of each predictor, by name."""


def read_optimized(folder: Path) -> Optimized:
    """Read a folder, or the folder of a file; nothing in it is run.

    Raises:
        DataError: there is neither a program nor an account of its making, or one is broken.
    """
    root = folder if folder.is_dir() else folder.parent
    info = read_json(root / INFO, "account of an optimization") if (root / INFO).is_file() else {}
    path = next((root / name for name in PROGRAMS if (root / name).is_file()), None)
    data = read_json(path, "program") if path else {}
    if not isinstance(info, dict) or not isinstance(data, dict):
        raise DataError(f"{root} holds files of another shape.", "Make it with `baft optimize`.")
    if not info and path is None:
        raise DataError(
            f"{folder} holds neither {INFO} nor {' nor '.join(PROGRAMS)}.",
            "Name a folder that `baft optimize --output` wrote.",
        )
    return Optimized(folder=str(root), info=info, modules=dict(_modules(data)))


def _modules(data: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The predictors of a program in the pipeline's shape or in DSPy's own."""
    modules = data.get("modules", {"": data} if "signature" in data else data)
    for name, module in modules.items() if isinstance(modules, dict) else ():
        if isinstance(module, dict) and ("signature" in module or "instructions" in module):
            signature = module.get("signature")
            told = signature if isinstance(signature, dict) else module
            demos = module.get("demos")
            yield (
                str(name),
                {
                    "instructions": str(told.get("instructions", "")),
                    "demos": demos if isinstance(demos, list) else [],
                },
            )


def render_optimized(found: Optimized, console: Console) -> None:
    """Print what the program says to the model and how it was found."""
    for part in _parts(found):
        console.print(part)


def _parts(found: Optimized) -> Iterator[RenderableType]:
    from rich.padding import Padding
    from rich.text import Text

    search = read_optimization(found.info)
    yield Text(one_line(found.folder), "bold")
    for sentence in _lines(search):
        yield Text(one_line(sentence))
    for name, module in found.modules.items():
        of = f" of {one_line(name)}" if len(found.modules) > 1 else ""
        yield Text(f"\nInstructions{of}", "bold")
        yield Padding(Text(plain_text(module["instructions"])), (0, 0, 0, 2))
        yield Text(f"\nDemonstrations{of}: {len(module['demos'])}", "bold")
        for number, demo in enumerate(module["demos"], 1):
            for field, value in demo.items() if isinstance(demo, dict) else ():
                if field == "augmented":  # DSPy's mark, never sent
                    continue
                text, rest = cut(one_line(str(value)), SHOWN)
                left = f" … {show.count(rest)} more" if rest else ""
                line = Text(f"{number} {one_line(str(field))}: {text}{left}")
                yield Padding(line, (0, 0, 0, 2))
    if search:
        yield Text("\nTrials", "bold")
        yield _trials(search)


def _lines(search: Optimization | None) -> Iterator[str]:
    if search is None:
        yield f"No trials are told of: there is no {INFO}, or it holds none."
        return
    on = f" on {show.counted(search.selection, 'example')}" if search.selection else ""
    where = f" ({search.selected_on})" if search.selected_on else ""
    yield f"{search.optimizer} over {search.lm or 'a model'}, {show.moment(search.date)}"
    yield f"Selected{on}{where}: scores on them are optimistic."
    yield search.result


def _trials(search: Optimization) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("trial", "score", "examples", "instructions", "demos", "tokens", "minutes"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    texts = list(dict.fromkeys(one.instructions for one in search.trials))
    baseline = next((one.trial for one in search.trials if one.full), None)
    for one in search.trials:
        marks = ["best"] if one.trial == search.best_trial else []
        marks += ["baseline"] if one.trial == baseline else []
        table.add_row(
            str(one.trial),
            show.score(one.score),
            show.count(one.examples) if one.examples is not None else "",
            f"#{texts.index(one.instructions) + 1}" if one.instructions else "",
            str(one.demos) if one.demos is not None else "",
            show.count(one.tokens) if one.tokens is not None else "",
            f"{one.minutes:.1f}" if one.minutes is not None else "",
            ("★ " if "best" in marks else "") + ", ".join(marks),
            style="bold" if "best" in marks else "",
        )
    return table
