"""What a training run may be told, with the defaults of the fine-tuning plan."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, Self

import baft

if TYPE_CHECKING:
    from collections.abc import Mapping

Quantization = Literal["auto", "bnb4", "bf16", "fp32"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """One field for each flag of ``baft train`` that concerns the trainer."""

    base_model: str
    """Folder, or hub id in the local cache."""
    epochs: int = 3
    lr: float = 2e-4
    """Peak learning rate; it rises over ``warmup_steps`` and falls along a cosine to 0."""
    warmup_steps: int = 10
    """At most all steps."""
    weight_decay: float = 0.01
    clip: float = 1.0
    """Largest norm of the gradient."""
    batch_size: int = 1
    grad_accum: int = 8
    """Batches by optimizer step."""
    lora_r: int = 8
    lora_alpha: int = 32
    lora_dropout: float = 0.1
    target_modules: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")
    max_length: int = 2048
    """Most tokens of an example, prompt and answer together."""
    truncate: bool = False
    """Cut what is longer instead of refusing it."""
    train_limit: int | None = None
    """Use the first so many examples: a smoke run."""
    val_limit: int | None = None
    max_steps: int | None = None
    """Stop after so many optimizer steps: a smoke run."""
    loss: Literal["answer", "full"] = "answer"
    """What is learnt: the answer, or the prompt too."""
    quantization: Quantization = "auto"
    """``auto``: the most exact of them that fits the free memory."""
    save_quantized: str | None = None
    """Folder that keeps the base in 4 bits; made where it is not there, and trained on."""
    device: str = "auto"
    seed: int = 42
    early_stopping: int | None = None
    """Stop after so many epochs without a better validation loss."""
    resume: bool = False
    """Go on from the last checkpoint, if there is one."""
    allow_download: bool = False
    train_dataset: str = ""
    """Path as given, for the record; so are the next three."""
    val_dataset: str = ""
    train_sha256: str = ""
    val_sha256: str = ""

    def __post_init__(self) -> None:
        if self.quantization not in ("auto", "bnb4", "bf16", "fp32"):
            raise baft.UsageError(
                f"There is no quantization {self.quantization!r}.", "Known: auto, bnb4, bf16, fp32."
            )
        if self.loss not in ("answer", "full"):
            raise baft.UsageError(f"There is no loss {self.loss!r}.", "Known: answer, full.")
        if self.save_quantized and self.quantization not in ("auto", "bnb4"):
            raise baft.UsageError(
                f"--save-quantized keeps a base in 4 bits, and {self.quantization} was asked for.",
                "Use --quantization bnb4.",
            )
        if not 0 < self.lr < 1:
            raise baft.UsageError(f"The learning rate must lie between 0 and 1, not {self.lr}.")

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Self:
        """Options by name; lists may be written with commas.

        Raises:
            UsageError: an unknown name, no base model, or a value that cannot be.
        """
        known = [field.name for field in fields(cls)]
        for name in given:
            if name not in known:
                raise baft.UsageError(
                    f"The trainer has no option {name!r}.", baft.did_you_mean(name, known)
                )
        if not given.get("base_model"):
            raise baft.UsageError("Training needs a base model.", "Give one with --base-model.")
        options = cls(**given)
        modules: Any = options.target_modules
        parts = modules.split(",") if isinstance(modules, str) else modules
        kept = options.save_quantized
        return replace(
            options,
            target_modules=tuple(part.strip() for part in parts),
            save_quantized=str(kept) if kept else None,
        )
