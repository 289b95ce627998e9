"""How far a run is, in a line for each arm: what is said where it is broken off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import numbers as show
from .text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..engine import Progress
    from ..records import Manifest
    from ..store.reading import Tally


def standing_text(
    manifest: Manifest, tallies: Mapping[str, Tally], seen: Mapping[str, Progress]
) -> str:
    """One line for each arm, in the order in which they are asked.

    Args:
        manifest: what the run was asked to do.
        tallies: by arm, what its store holds.
        seen: by arm, the progress of this sitting.
    """
    width = max(len(arm.name) for arm in manifest.arms)
    total = manifest.num_examples * manifest.repeats
    return "\n".join(
        f"{one_line(arm.name):<{width}}  "
        + ", ".join(_facts(total, tallies.get(arm.name), seen.get(arm.name)))
        for arm in manifest.arms
    )


def _facts(total: int, tally: Tally | None, progress: Progress | None) -> Iterator[str]:
    done = tally.done if tally else 0
    yield f"{show.count(done)} of {show.count(total)} done"
    if tally is not None and tally.scored:
        yield f"mean {show.score(tally.mean)} (n = {show.count(tally.scored)})"
    if tally is not None and tally.failed:
        yield f"{show.count(tally.failed)} failed"
    if progress is not None and progress.retried:
        yield f"{show.count(progress.retried)} tried again"
    if progress is not None and progress.cached:
        yield f"{show.count(progress.cached)} from the cache"
    if progress is not None and progress.tokens:
        yield f"{show.rate(progress.tokens_per_s)} tok/s"
