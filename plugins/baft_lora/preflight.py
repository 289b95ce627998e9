"""Before the long part: what a training run needs, what there is, and how long it will take."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import baft

from . import attention, checkpoints, loading, memory, sources
from .quantizing import BYTES_PER_WEIGHT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from .lessons import Lesson
    from .options import Options

ADAM = 16
"""Bytes by trained parameter: itself, its gradient and two moments, all in float32."""

WIDTH = {"fp32": 4, "bf16": 2, "bnb4": 4}
"""Bytes of a number between the layers; PEFT makes all that is not in 4 bits float32."""

PEAK = 1.5
"""Memory of a step at its peak by what autograd keeps: 0.55 B parameters, 650 tokens, on a CPU with
torch 2.13 took 1.37 times that in bf16, 1.55 with recomputation, 1.46 in bnb4."""

PACKS = {"cpu": 1600, "cuda": 4096}
"""Most tokens that are computed at once. A step of the plan takes about 4,096; the caches of a CPU
hold less: of 5 M and of 0.55 B parameters two examples of 650 tokens at once took about as long as
one or three, all eight a tenth to a third longer."""

STORED = {"fp32": "F32", "bf16": "BF16"}
"""Number format of weights that a CPU uses where they lie in the file's pages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Bytes that a run takes at its peak, by what takes them."""

    precision: str
    """``fp32``, ``bf16`` or ``bnb4``."""
    recompute: bool
    """Whether activations are computed twice to save memory (gradient checkpointing)."""
    weights_bytes: int
    mapped_bytes: int
    """Weights used in the pages of their file: good to have, and given back where memory is short.
    """
    adapter_bytes: int
    """With gradients and the optimizer's moments."""
    activation_bytes: int

    @property
    def total_bytes(self) -> int:
        """What must be free."""
        return self.weights_bytes + self.adapter_bytes + self.activation_bytes

    def __str__(self) -> str:
        mapped = f" and {_gb(self.mapped_bytes)} in the file's pages" if self.mapped_bytes else ""
        return (
            f"weights {_gb(self.weights_bytes)}{mapped}, adapter and optimizer "
            f"{_gb(self.adapter_bytes)}, activations {_gb(self.activation_bytes)}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a run will be done, and why so."""

    need: Need
    reason: str
    """Why this precision, in one sentence."""
    free_bytes: int
    disk_bytes: int
    """For the checkpoints and the adapter."""
    trainable: int
    """Parameters of the adapter."""
    most_tokens: int
    """That are computed at once, where memory allows."""
    batch: tuple[Lesson, ...]
    """The longest, on which memory is reckoned."""

    def lines(self) -> Iterator[str]:
        """What the user is told."""
        yield self.reason
        need = self.need
        twice = "; activations are computed twice to save memory" if need.recompute else ""
        yield (
            f"memory: about {_gb(need.total_bytes)} of {_gb(self.free_bytes)} free ({need}){twice}"
        )
        if not self.stays:
            yield (
                "The weights do not stay in memory beside that: they are read from the disk again "
                "at every pass. --quantization bnb4 takes a quarter."
            )

    @property
    def stays(self) -> bool:
        """Whether the weights stay in memory, so that reading them once more costs nothing."""
        return self.need.total_bytes + self.need.mapped_bytes <= self.free_bytes

    @property
    def pack_tokens(self) -> int:
        """How many tokens may be computed at once; those of the longest batch at least."""
        longest = max(len(row.ids) for row in self.batch) * len(self.batch)
        room = self.free_bytes - self.need.total_bytes - self.need.mapped_bytes
        more = room * longest // self.need.activation_bytes if not self.need.recompute else 0
        return max(longest, min(self.most_tokens, longest + more))

    def record(self) -> dict[str, Any]:
        """For ``training_info.json``."""
        return {
            **asdict(self.need),
            "needed_bytes": self.need.total_bytes,
            "free_bytes": self.free_bytes,
            "disk_bytes": self.disk_bytes,
        }


def plan(
    options: Options,
    base: Path,
    sets: Sequence[Sequence[Lesson]],
    *,
    output: Path,
    device: str,
    free: int,
    begun: str | None = None,
) -> Plan:
    """How to train within the memory and on the disk that are free; no weights are read.

    Args:
        options: as asked.
        base: folder of the model.
        sets: training and validation lessons.
        output: folder of the run.
        device: ``cpu`` or ``cuda``.
        free: bytes that this process may take.
        begun: the precision of the run that is gone on with.

    Raises:
        UsageError: it does not fit, or the model has no such modules; says what would do.
        DataError: the disk has no room for the checkpoints, or the model is of no use.
    """
    config = loading.load_config(base)
    batch = _longest(sets[0], options.batch_size)
    parts = list(sources.stored(sources.weight_files(base)))
    trainable = trainable_parameters(config, options)

    def need(precision: str, recompute: bool, rows: Sequence[Lesson] = batch) -> Need:
        return _need(
            options, config, parts, rows, trainable, precision, device=device, recompute=recompute
        )

    precision, reason = _precision(options, base, parts, device, need, free, begun)
    chosen = need(precision, False)
    if chosen.total_bytes + chosen.mapped_bytes > free:
        chosen = need(precision, True)
    if chosen.total_bytes > free:
        raise baft.UsageError(
            f"Training in {precision} needs about {_gb(chosen.total_bytes)}, and "
            f"{_gb(free)} are free: {chosen}.",
            _advice(options, batch, need, free, precision),
        )
    size = (checkpoints.KEPT + 2) * checkpoints.expected_bytes(trainable, 4)
    free_disk = memory.free_disk(output)
    if free_disk < size:
        raise baft.DataError(
            f"The checkpoints need about {_gb(size)} and the disk of {output} has "
            f"{_gb(free_disk)} free.",
            "Free some space, or name an --output on another disk.",
        )
    return Plan(
        most_tokens=PACKS[device],
        need=chosen,
        reason=reason,
        free_bytes=free,
        disk_bytes=size,
        trainable=trainable,
        batch=batch,
    )


def trainable_parameters(config: Any, options: Options) -> int:
    """Parameters that a LoRA of a model of this shape trains; nothing is put into memory.

    Raises:
        UsageError: the model has no modules of the names that are asked for.
    """
    import torch
    from transformers import AutoModelForCausalLM

    with loading.quiet(), torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
        return int(loading.adapt(model, options).get_nb_trainable_parameters()[0])


def _need(
    options: Options,
    config: Any,
    parts: Sequence[tuple[str, int]],
    batch: Sequence[Lesson],
    trainable: int,
    precision: str,
    *,
    device: str,
    recompute: bool,
) -> Need:
    text = config.get_text_config(decoder=True)
    count = sum(number for _, number in parts)
    if precision == "bnb4":
        embedded = text.vocab_size * text.hidden_size * (1 if config.tie_word_embeddings else 2)
        largest = text.hidden_size * getattr(text, "intermediate_size", 4 * text.hidden_size)
        weights = int((count - embedded) * BYTES_PER_WEIGHT) + 4 * embedded + 2 * largest
    else:
        weights = count * WIDTH[precision]
    is_mapped = device == "cpu" and {kind for kind, _ in parts} == {STORED.get(precision)}
    longest = max(len(row.ids) for row in batch)
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    keeps = attention.keeps_weights(device, text.num_attention_heads * head)
    kept = memory.activation_bytes(
        text,
        options.target_modules,
        tokens=longest * len(batch),
        logit_tokens=longest * len(batch),
        seen=attention.kept_weights(longest) if keeps else 0,
        width=WIDTH[precision],
        dropout=options.lora_dropout > 0,
        recompute=recompute,
        device=device,
    )
    return Need(
        precision=precision,
        recompute=recompute,
        weights_bytes=0 if is_mapped else weights,
        mapped_bytes=weights if is_mapped else 0,
        adapter_bytes=ADAM * trainable,
        activation_bytes=int(PEAK * kept),
    )


def _precision(
    options: Options,
    base: Path,
    parts: Sequence[tuple[str, int]],
    device: str,
    need: Any,
    free: int,
    begun: str | None,
) -> tuple[str, str]:
    """The precision, and why it is taken."""
    stored = sources.quantization(base)
    if stored not in (None, "bnb4"):
        raise baft.DataError(
            f"The weights of {str(base)!r} are quantized by {stored!r}, on which no LoRA is "
            "trained here.",
            "Name the base in full precision, or in 4 bits of bitsandbytes.",
        )
    asked = options.quantization
    if stored == "bnb4":
        if asked not in ("auto", "bnb4"):
            raise baft.UsageError(
                f"{str(base)!r} is kept in 4 bits, and {asked} was asked for.",
                "Leave --quantization out, or name the base in full precision.",
            )
        loading.require_four_bits()
        return "bnb4", "quantization bnb4: the base is kept in 4 bits"
    if asked != "auto":
        if asked == "bnb4":
            loading.require_four_bits()
        return asked, f"quantization {asked}: as asked"
    if begun:
        return begun, f"quantization {begun}: as the run was begun"
    count = sum(number for _, number in parts)
    is_small = loading.choose_dtype(device, count) == "float32"
    is_native = {kind for kind, _ in parts} == {STORED["bf16"]} and loading.multiplies_bf16()
    ways = [*(["fp32"] if is_small and not is_native else []), "bf16"]
    ways += ["bnb4"] if loading.has_four_bits() else []
    passed: list[str] = []
    for way in ways:
        found = need(way, True)
        whole = found.total_bytes + found.mapped_bytes
        if whole <= free:
            why = f"{count / 1e6:,.1f} million parameters need {_gb(whole)}, {_gb(free)} are free"
            if is_small and is_native:
                why += ", and this CPU multiplies bf16 as it is stored"
            return way, f"quantization {way}: {'; '.join([*passed, why])}"
        passed.append(f"{way} would need {_gb(whole)}")
    if "bnb4" not in ways:
        passed.append('bnb4 would need less, by pip install "baft[bnb4]"')
    last = min(ways, key=lambda way: need(way, True).total_bytes)
    return last, f"quantization {last}: {'; '.join(passed)}; {_gb(free)} are free"


def _advice(options: Options, batch: Sequence[Lesson], need: Any, free: int, precision: str) -> str:
    """What would fit."""
    ways = ("bf16", "bnb4") if loading.has_four_bits() else ("bf16",)
    others = [(way, need(way, True)) for way in ways if way != precision]
    for way, found in others:
        if found.total_bytes + found.mapped_bytes <= free:
            return f"Use --quantization {way}, which needs about {_gb(found.total_bytes)}."
    accum = options.grad_accum * options.batch_size
    for count in range(len(batch) - 1, 0, -1):
        if need(precision, True, batch[:count]).total_bytes <= free:
            return f"Use --batch-size {count} --grad-accum {max(1, accum // count)}."
    for way, found in others:
        if found.total_bytes <= free:
            return (
                f"Use --quantization {way}, which needs about {_gb(found.total_bytes)} and reads "
                "its weights from the disk at every pass."
            )
    shorter = _shorter(batch[0], need, precision, free)
    if shorter:
        return f"Use --batch-size 1 --max-length {shorter}."
    more = "" if "bnb4" in ways else ' Or install 4 bits: pip install "baft[bnb4]".'
    return f"Use a smaller base model, or a machine with more memory free.{more}"


def _shorter(lesson: Lesson, need: Any, precision: str, free: int) -> int:
    """The greatest length that fits, by halves; 0 where even one that is no use does not."""
    length = len(lesson.ids) // 2
    while length >= 64:
        if need(precision, True, [replace(lesson, ids=lesson.ids[:length])]).total_bytes <= free:
            return length
        length //= 2
    return 0


def _longest(lessons: Sequence[Lesson], batch_size: int) -> tuple[Lesson, ...]:
    return tuple(sorted(lessons, key=lambda lesson: -len(lesson.ids))[:batch_size])


def _gb(count: int) -> str:
    """For a reader.

    >>> _gb(3_400_000), _gb(6_000_000_000), _gb(16_000_000_000)
    ('3 MB', '6.0 GB', '16.0 GB')
    """
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
