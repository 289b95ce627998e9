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
from collections import Counter
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from . import numbers as show
from .text import cut, one_line, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from markupsafe import Markup
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

    from ..records import PairedTest, Report
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

UNPRINTABLE = re.compile("[\ufffe\uffff]")
"""What XML has no place for, beside the controls that ``one_line`` takes out."""

BINS = 80
"""Columns of a distribution; at 0 to 1 each is 0.0125 wide, finer than 0.9286 is from 1."""
PAIRS = 3
"""Pairs of arms that are drawn example by example."""
SLOPES = 300
"""Most lines of a pair."""

_NO_XML = re.compile("[^\\t\\n\\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML has no place for."""
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
        _whole_numbers(axes.xaxis)
        _legend(axes)

    return _drawn(key, f"Score by trial: {label}", draw)


def losses_chart(key: str, found: Training, arm: int) -> Markup:
    """Loss by epoch: training steps as a thin line, the epochs' training and validation losses."""
    label = f"Loss by epoch: best validation loss {show.score(found.best_val_loss)}"
    return _drawn(key, label, lambda axes: _draw_losses(axes, found, ARMS[arm % len(ARMS)]))


def losses_png(found: Training) -> bytes:
    """The same as a picture on white, to lie beside the adapter."""
    from matplotlib import style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    picture = io.BytesIO()
    with style.context(["default", STYLE]):
        figure = Figure(figsize=(7.6, 3.6), layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        _draw_losses(figure.subplots(), found, ARMS[1])
        figure.savefig(picture, format="png", dpi=150, metadata={"Software": None})
    return picture.getvalue()


def _draw_losses(axes: Axes, found: Training, colour: str) -> None:
    epochs = max((end for end, _, _ in found.epochs), default=1.0)
    if found.steps:
        place = [(step + 1) / len(found.steps) * epochs for step in range(len(found.steps))]
        axes.plot(place, found.steps, color=colour, alpha=0.35, linewidth=1, label="training steps")
    for column, line, name in ((1, "-", "training"), (2, "--", "validation")):
        points = [(row[0], row[column]) for row in found.epochs if row[column] is not None]
        if points:
            ink = colour if column == 1 else INK
            axes.plot(*zip(*points, strict=True), line, marker="o", color=ink, label=name)
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.set_xlim(left=0)
    _legend(axes)


def trend_chart(
    key: str, role: str, means: Mapping[str, Sequence[tuple[int, float]]], threshold: float
) -> Markup:
    """Mean score by run, a line for each arm, against the threshold.

    Args:
        key: begins every id of the chart; unique on its page.
        role: what the runs are of.
        means: number of the run and mean, by arm.
        threshold: the mean that a winner needs.
    """
    runs = max((number for points in means.values() for number, _ in points), default=0)

    def draw(axes: Axes) -> None:
        for place, (name, points) in enumerate(means.items()):
            axes.plot(
                *zip(*points, strict=True),
                marker="o",
                color=ARMS[place % len(ARMS)],
                label=UNPRINTABLE.sub("", cut(one_line(name), 30)[0]) or "?",
            )
        axes.axhline(threshold, color=BAD, linestyle="--", linewidth=1, label="threshold")
        axes.set_xlabel("run, the oldest first")
        axes.set_ylabel("mean score")
        _whole_numbers(axes.xaxis)
        _legend(axes)

    label = f"Mean score by run of {visible(role)}, {show.counted(runs, 'run')}"
    return _drawn(key, UNPRINTABLE.sub("", label), draw)


def distributions_chart(key: str, report: Report, threshold: float) -> Markup:
    """How many examples have which score: a row for each arm, all on one scale.

    The band is the 95 % interval of the mean, the triangle the mean; the whole line is the
    threshold, the broken one the attainable maximum.
    """
    ends = [e for arm in report.arms for e in (arm.summary.min, arm.summary.max) if e is not None]
    low, high = min([0.0, *ends]), max([1.0, report.attainable_max, *ends])

    def draw(figure: Figure) -> None:
        rows = figure.subplots(len(report.arms), sharex=True, squeeze=False)[:, 0]
        for position, (arm, axes) in enumerate(zip(report.arms, rows, strict=True)):
            colour, found = ARMS[position % len(ARMS)], arm.summary
            axes.hist(
                list(arm.scores.values()),
                bins=BINS,
                range=(low, high),
                color=colour,
                histtype="stepfilled",
            )
            if found.ci95:
                axes.axvspan(found.ci95.low, found.ci95.high, color=colour, alpha=0.16, linewidth=0)
            if found.mean is not None:
                axes.plot(found.mean, 0, "^", color=INK, clip_on=False, zorder=3)
            axes.axvline(threshold, color=BAD, linewidth=1.2)
            axes.axvline(report.attainable_max, color=QUIET, linewidth=1.2, linestyle="--")
            axes.set_title(f"{_said(arm.name)}  {show.score(found.mean)}", loc="left", fontsize=10)
            _whole_numbers(axes.yaxis, 2)
            axes.set_xlim(low, high)
        rows[-1].set_xlabel("score")

    label = ", ".join(f"{_said(arm.name)} {show.score(arm.summary.mean)}" for arm in report.arms)
    return _figure(key, f"Scores by arm, means: {label}", draw, height=0.5 + 1.0 * len(report.arms))


def slopes_chart(key: str, report: Report, tests: Sequence[PairedTest]) -> Markup:
    """Each example's score from one arm to the other: green rises, red falls.

    The first ``PAIRS`` pairs; of each the ``SLOPES`` most frequent lines, thicker where more
    examples share one.
    """
    scores = {arm.name: arm.scores for arm in report.arms}
    shown = [test for test in tests[:PAIRS] if test.n]

    def draw(figure: Figure) -> None:
        columns = figure.subplots(1, max(len(shown), 1), sharey=True, squeeze=False)[0]
        for test, axes in zip(shown, columns, strict=False):
            before, after = scores.get(test.b, {}), scores.get(test.a, {})
            pairs = Counter((before[id_], after[id_]) for id_ in before.keys() & after.keys())
            for (left, right), number in sorted(pairs.most_common(SLOPES)):
                ink = QUIET if left == right else GOOD if right > left else BAD
                wide = 0.8 + 3.2 * number / test.n
                axes.plot((0, 1), (left, right), color=ink, linewidth=wide, alpha=0.7)
            axes.set_xticks((0, 1), (_said(test.b), _said(test.a)))
            axes.set_xlim(-0.25, 1.25)
            axes.set_title(f"{test.wins} up, {test.losses} down, {test.ties} level", fontsize=10)
        columns[0].set_ylabel("score")

    told = "; ".join(f"{_said(t.b)} to {_said(t.a)}: {t.wins} up, {t.losses} down" for t in shown)
    return _figure(key, f"Scores of each example. {told}", draw, height=3)


def forest_chart(key: str, tests: Sequence[PairedTest]) -> Markup:
    """Mean difference of each pair with its 95 % interval, around a line at none."""
    shown = [test for test in tests if test.mean_difference is not None]

    def draw(axes: Axes) -> None:
        for row, test in enumerate(shown):
            if test.ci95:
                ends = (test.ci95.low, test.ci95.high)
                axes.plot(ends, (row, row), color=ARMS[1], linewidth=4, alpha=0.55)
            axes.plot(test.mean_difference or 0.0, row, "o", color=INK)
        axes.axvline(0, color=QUIET, linewidth=1)
        names = [f"{_said(test.a)} less {_said(test.b)}" for test in shown]
        axes.set_yticks(range(len(shown)), names)
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.grid(visible=False)
        axes.set_xlabel("difference of the means, 95 % interval")

    told = "; ".join(
        f"{_said(test.a)} less {_said(test.b)}: {show.difference(test.mean_difference)}, "
        f"{show.interval(test.ci95, signed=True)}"
        for test in shown
    )
    return _drawn(key, f"Differences. {told}", draw, height=0.7 + 0.32 * len(shown))


def nothing() -> None:
    """Draw empty axes: whoever draws after that need not wait for Matplotlib to be loaded."""
    _drawn("nothing", "", lambda axes: None)


def _said(name: str) -> str:
    """An arm's name as a chart has room for."""
    text, rest = cut(one_line(name), 28)
    return f"{text}…" if rest else text


def _whole_numbers(axis: Axis, most: int = 9) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(most, integer=True))


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
    """What ``draw`` draws on one pair of axes, for a page; see ``_figure``."""
    return _figure(key, label, lambda figure: draw(figure.subplots()), width=width, height=height)


def _figure(
    key: str,
    label: str,
    draw: Callable[[Figure], None],
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
        draw(figure)
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

    root = ElementTree.fromstring(_NO_XML.sub("", svg))
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
        "aria-label": _NO_XML.sub("", label),
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
