"""Several examples as one sequence: what their prompts have in common is computed once.

The common beginning comes first, then each example's own part, which sees the beginning and itself
and takes up the positions after it. So nothing is padded, and up to dropout, which drops in the
beginning for all of them alike, loss and gradients are those of one example at a time.
Letters: T tokens, N predictions, V words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers import AttentionInterface

from .attention import attend
from .entropy import cross_entropy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from .beginning import Beginning
    from .lessons import Lesson

ATTENTION = "baft_packed"
"""The name by which transformers finds ``attend``."""

MODELS = frozenset({"llama", "mistral", "qwen2", "qwen3"})
"""Model types that are tested: all their layers attend by transformers' interface, and only what
positions and attention tell them apart by reaches from one token to another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """Examples as one sequence."""

    ids: tuple[int, ...]
    """(T,): the common beginning, then each own part."""
    positions: tuple[int, ...]
    """(T,): each token's place in its example."""
    spans: tuple[tuple[int, int], ...]
    """Where each own part begins and ends; before the first of them is the common beginning."""
    predictors: tuple[int, ...]
    """(N,): the places whose logits are needed; one may predict a token for each example."""
    targets: tuple[int, ...]
    """(N,): the tokens that come after them."""
    weights: tuple[float, ...]
    """(N,): how many examples learn that prediction."""
    owners: tuple[tuple[str, ...], ...]
    """(N,): which."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Tokens of the common beginning and of each own part."""
        return (self.spans[0][0], *(end - start for start, end in self.spans))

    def broken(self, losses: Tensor) -> list[str]:
        """The examples of which a loss is not finite."""
        if bool(losses.isfinite().all()):
            return []
        places = (~losses.isfinite()).nonzero().flatten().tolist()
        return list(dict.fromkeys(name for place in places for name in self.owners[place]))


def pack(lessons: Sequence[Lesson], given: int = 0) -> Pack:
    """One sequence of some lessons.

    Args:
        lessons: at least one.
        given: tokens that all of them begin with and that are read apart (``beginning``): they are
            in no prediction, and not in the pack.

    >>> from baft_lora.lessons import Lesson
    >>> a = Lesson(example_id="a", ids=(1, 2, 3, 4), prompt_tokens=2)
    >>> b = Lesson(example_id="b", ids=(1, 2, 5), prompt_tokens=2)
    >>> one = pack([a, b])
    >>> one.ids, one.positions, one.spans
    ((1, 2, 3, 4, 5), (0, 1, 2, 3, 2), ((2, 4), (4, 5)))
    >>> one.predictors, one.targets  # the beginning's last token predicts both 3 and 5
    ((1, 2, 1), (3, 4, 5))
    """
    rows = [row for row in lessons if row.prompt_tokens < len(row.ids)] or lessons[:1]
    shared = given or _shared(rows)
    ids, spans = list(rows[0].ids[given:shared]), []
    positions = list(range(given, shared))
    learnt: dict[tuple[int, int], list[str]] = {}  # (predictor, place of the target): whose
    for row in rows:
        start = len(ids)
        ids += row.ids[shared:]
        positions += range(shared, len(row.ids))
        spans.append((start, len(ids)))
        for place in range(max(1, row.prompt_tokens), len(row.ids)):
            before = place - 1 if place <= shared else start + place - 1 - shared
            after = place if place < shared else start + place - shared
            learnt.setdefault((before, after), []).append(row.example_id)
    return Pack(
        ids=tuple(ids),
        positions=tuple(positions),
        spans=tuple(spans),
        predictors=tuple(before for before, _ in learnt),
        targets=tuple(ids[after] for _, after in learnt),
        weights=tuple(float(len(owners)) for owners in learnt.values()),
        owners=tuple(tuple(owners) for owners in learnt.values()),
    )


def packs(batches: Sequence[Sequence[Lesson]], budget: int) -> list[list[Lesson]]:
    """The lessons of neighbouring batches together, at most ``budget`` tokens in a pack.

    A batch stays whole, even where it alone has more.
    """
    made: list[list[Lesson]] = []
    for batch in batches:
        if made and packed_tokens([*made[-1], *batch]) <= budget:
            made[-1] += batch
        else:
            made.append([*batch])
    return made


def packed_tokens(lessons: Sequence[Lesson]) -> int:
    """Tokens of a pack of them."""
    shared = _shared(lessons)
    return shared + sum(len(row.ids) - shared for row in lessons)


def why_not(config: Any, longest: int) -> str | None:
    """Why a model cannot read packs, for the user; None where it can.

    Args:
        config: of the whole model.
        longest: tokens of the longest example.
    """
    if config.model_type not in MODELS:
        return f"not tested with models of type {config.model_type}"
    window = getattr(config, "sliding_window", None)
    if window and longest > window and getattr(config, "use_sliding_window", True):
        return f"its window of {window} tokens slides over examples of {longest}"
    return None


def prepare(model: Any) -> None:
    """Make a model attend by ``attend``; it then reads packs alone."""
    AttentionInterface.register(ATTENTION, attend)
    model.set_attn_implementation(ATTENTION)


def losses(
    model: Any, packed: Pack, device: torch.device, beginning: Beginning | None = None
) -> Tensor:
    """Cross entropies of what is to be learnt, each times its weight, shape (N,), in float32.

    Args:
        model: that is made for it by ``prepare``.
        packed: what it reads.
        device: it is on.
        beginning: what comes before the pack.
    """

    def tensor(values: Sequence[float], dtype: torch.dtype = torch.int64) -> Tensor:
        return torch.tensor(values, dtype=dtype, device=device)

    result = model(
        input_ids=tensor(packed.ids)[None],  # (1, T)
        position_ids=tensor(packed.positions)[None],
        logits_to_keep=tensor(packed.predictors or (0,)),
        use_cache=False,
        sizes=packed.sizes,
        given=beginning.seen(model, device) if beginning else None,
    )
    logits: Tensor = result.logits.squeeze(0)  # (N, V)
    if not packed.targets:  # nothing is learnt, yet other processes wait for the gradients
        return logits.float().sum(dim=1) * 0
    return cross_entropy(logits, tensor(packed.targets)) * tensor(packed.weights, torch.float32)


def shared_tokens(lessons: Sequence[Lesson], most: int) -> int:
    """Tokens that all of them begin with, up to so many.

    >>> from baft_lora.lessons import Lesson
    >>> rows = [Lesson(example_id=n, ids=ids, prompt_tokens=2) for n, ids in
    ...         (("a", (1, 2, 3)), ("b", (1, 2, 4)))]
    >>> shared_tokens(rows, 3), shared_tokens(rows, 1)
    (2, 1)
    """
    columns = enumerate(zip(*(row.ids[:most] for row in lessons), strict=True))
    return next((place for place, column in columns if len(set(column)) > 1), most)


def _shared(lessons: Sequence[Lesson]) -> int:
    """Tokens that all of them begin with; each keeps one of its own, and one alone keeps all."""
    if len(lessons) == 1:
        return 0
    return shared_tokens(lessons, min(len(row.ids) for row in lessons) - 1)
