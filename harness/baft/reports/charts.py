"""Charts for a page, drawn by Matplotlib as SVG that stands in the HTML itself.

The page's policy allows no style attributes, so styles become presentation attributes; the few
colours drawn with become the page's own, light or dark. The same data gives the same text, and ids
begin with the chart's key, so that two charts on one page do not clash. A new chart is a function
that takes a key and its data and returns ``_drawn``.

Matplotlib is imported when the first chart is drawn.
"""

from __future__ import annotations

import io
import re
import warnings
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from . import numbers as show

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from markupsafe import Markup
    from matplotlib.axes import Axes

    from .history import Optimization, Training

INK, QUIET, LINE, BAD, GOOD = "#1b2230", "#5b6577", "#dde1e8", "#b3261e", "#14713d"
ARMS = ("#5f6b80", "#0072b2", "#c2571a", "#007a5a", "#a04a85", "#806900")
"""Colours of the arms, in order; after the last comes the first again."""

COLOURS = {
    INK: "currentColor",
    QUIET: "var(--quiet)",
    LINE: "var(--line)",
    BAD: "var(--bad)",
    GOOD: "var(--good)",
    **{colour: f"var(--a{number})" for number, colour in enumerate(ARMS)},
}
"""What is drawn with, and what the page's style sheet calls it."""

STYLE: dict[str, Any] = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "baft",
    "text.parse_math": False,  # a dollar is a dollar
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": QUIET,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": QUIET,
    "ytick.labelcolor": QUIET,
    "xtick.bottom": False,
    "ytick.left": False,
    "figure.facecolor": "none",
    "legend.frameon": False,
    "legend.labelcolor": QUIET,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
}

_REFERENCE = re.compile(r"^(url\()?#(.+?)(\))?$")


def trials_chart(key: str, found: Optimization, arm: int) -> Markup:
    """Score by trial: every trial, the best so far, the baseline.

    Args:
        key: begins every id of the chart; unique on its page.
        found: the search.
        arm: the arm's position, for its colour.
    """
    colour = ARMS[arm % len(ARMS)]
    label = f"{show.counted(len(found.trials), 'trial')}, best {show.score(found.best)}"

    def draw(axes: Axes) -> None:
        for full, face, name in ((True, colour, "whole set"), (False, "none", "part of the set")):
            points = found.scores(full=full)
            if points:
                x, y = zip(*points, strict=True)
                axes.scatter(x, y, s=26, c=face, edgecolors=colour, label=name)
        rising = found.best_so_far()
        if rising:
            steps = [*rising, (max(one.trial for one in found.trials), rising[-1][1])]
            axes.step(*zip(*steps, strict=True), where="post", color=colour, label="best so far")
        if found.baseline is not None:
            axes.axhline(found.baseline, color=QUIET, linestyle="--", linewidth=1, label="baseline")
        axes.set_xlabel("trial")
        axes.set_ylabel("score on the selection set")
        _whole_numbers(axes)
        _legend(axes)

    return _drawn(key, f"Score by trial: {label}", draw)


def losses_chart(key: str, found: Training, arm: int) -> Markup:
    """Loss by epoch: training steps as a thin line, the epochs' training and validation losses."""
    colour = ARMS[arm % len(ARMS)]
    epochs = max((end for end, _, _ in found.epochs), default=1.0)
    best = show.score(found.best_val_loss)

    def draw(axes: Axes) -> None:
        if found.steps:
            place = [(step + 1) / len(found.steps) * epochs for step in range(len(found.steps))]
            axes.plot(
                place, found.steps, color=colour, alpha=0.35, linewidth=1, label="training steps"
            )
        for column, style, name in ((1, "-", "training"), (2, "--", "validation")):
            points = [(row[0], row[column]) for row in found.epochs if row[column] is not None]
            if points:
                ink = colour if column == 1 else INK
                axes.plot(*zip(*points, strict=True), style, marker="o", color=ink, label=name)
        axes.set_xlabel("epoch")
        axes.set_ylabel("loss")
        axes.set_xlim(left=0)
        _legend(axes)

    return _drawn(key, f"Loss by epoch: best validation loss {best}", draw)


def _whole_numbers(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _legend(axes: Axes) -> None:
    """One row above the chart."""
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, borderaxespad=0, fontsize=9)


def _drawn(
    key: str,
    label: str,
    draw: Callable[[Axes], None],
    *,
    width: float = 7.6,
    height: float = 2.6,
) -> Markup:
    """What ``draw`` draws, for a page; sizes in inches of 72 units."""
    from matplotlib import style
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    text = io.StringIO()
    with style.context(["default", STYLE]), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of letters that the measuring font lacks
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.subplots())
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return inline(text.getvalue(), key, label)


def inline(svg: str, key: str, label: str) -> Markup:
    """An SVG file as part of a page whose policy allows no styles; see the module.

    Args:
        svg: what Matplotlib wrote.
        key: what every id begins with.
        label: what a reader hears who does not see the chart.
    """
    from markupsafe import Markup

    root = ElementTree.fromstring(svg)
    for parent in list(root.iter()):
        for child in list(parent):
            if _name(child.tag) in ("metadata", "style"):
                parent.remove(child)
    used = {
        found[2]
        for element in root.iter()
        for value in element.attrib.values()
        if (found := _REFERENCE.match(value))
    }
    for element in root.iter():
        element.tag = _name(element.tag)
        element.attrib = dict(_attributes(element.attrib, key, used))
    root.attrib = {
        "class": "chart",
        "role": "img",
        "aria-label": label,
        "viewBox": root.attrib["viewBox"],
    }
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _name(tag: str) -> str:
    """A name without its namespace: a page knows SVG by its elements."""
    return tag.rpartition("}")[2]


def _attributes(found: dict[str, str], key: str, used: set[str]) -> Iterator[tuple[str, str]]:
    for name, value in found.items():
        if name == "style":
            for declaration in value.split(";"):
                prop, _, setting = (part.strip() for part in declaration.partition(":"))
                if prop and not prop.startswith("font"):  # the page's own
                    yield _coloured(prop, setting, key)
        elif name != "id" or value in used:
            yield _coloured(_name(name), f"{key}-{value}" if name == "id" else value, key)


def _coloured(name: str, value: str, key: str) -> tuple[str, str]:
    reference = _REFERENCE.match(value)
    if reference and (reference[1] or name == "href"):
        return name, f"{reference[1] or ''}#{key}-{reference[2]}{reference[3] or ''}"
    return name, COLOURS.get(value, value)
