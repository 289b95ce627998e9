"""The training loop: transformers' Trainer, told what to watch. Letters: B rows, T tokens."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

import baft

from . import loading

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from .options import Options
    from .trainer import Lesson

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "bnb4": "bfloat16"}

IGNORED = -100
"""Label of a token that is not to be learnt, by torch's convention."""


def run(
    options: Options,
    base: Path,
    train: Sequence[Lesson],
    val: Sequence[Lesson],
    *,
    output: Path,
    checkpoint: Path | None,
    precision: str,
    device: str,
    log: Callable[[Mapping[str, Any]], None],
) -> tuple[Any, dict[str, Any]]:
    """The model with the best adapter on, and what ``training_info.json`` tells of the way there.

    Raises:
        DataError: a loss is not finite; the examples of that batch are named.
    """
    with loading.quiet():
        model = _with_adapter(options, base, precision, device)
        arguments = _arguments(options, output, len(train), bool(val), device, model)
        watch = Watch(log)
        trainer = LessonTrainer(
            watch,
            model=model,
            args=arguments,
            train_dataset=list(train),
            eval_dataset=list(val) or None,
            data_collator=collate,
            callbacks=[watch],
        )
        trainer.remove_callback(PrinterCallback)
        if options.early_stopping and val:
            trainer.add_callback(EarlyStoppingCallback(options.early_stopping))
        trainable, total = model.get_nb_trainable_parameters()
        with loading.few_threads(total):
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    best = trainer.state.best_model_checkpoint
    found = {
        "trainable_params": trainable,
        "total_params": total,
        "trainable_percentage": 100 * trainable / total,
        "steps": trainer.state.global_step,
        "resumed_from": checkpoint.name if checkpoint else None,
        "best_checkpoint": best.replace("\\", "/").rpartition("/")[2] if best else None,
        "best_val_loss": trainer.state.best_metric,
        "losses": _by_epoch(trainer.state.log_history),
        "step_losses": [entry["loss"] for entry in trainer.state.log_history if "loss" in entry],
        "tokens_per_s": watch.mean_speed(),
    }
    return model, found


def collate(rows: Sequence[Lesson]) -> dict[str, Any]:
    """A batch padded on the right; padding is neither seen nor learnt, whatever its id."""
    width = max(len(row.ids) for row in rows)

    def padded(values: list[list[int]], filler: int) -> Tensor:
        return torch.tensor([v + [filler] * (width - len(v)) for v in values])  # (B, T)

    return {
        "input_ids": padded([list(row.ids) for row in rows], 0),
        "attention_mask": padded([[1] * len(row.ids) for row in rows], 0),
        "labels": padded(
            [[IGNORED] * row.prompt_tokens + list(row.ids[row.prompt_tokens :]) for row in rows],
            IGNORED,
        ),
        "example_ids": [row.example_id for row in rows],
    }


class LessonTrainer(Trainer):  # type: ignore[misc]
    """Stops at a loss that is not finite, and counts tokens."""

    def __init__(self, watch: Watch, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._watch = watch

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """The loss of one batch."""
        example_ids = inputs.pop("example_ids")
        result = super().compute_loss(model, inputs, *args, **kwargs)
        loss = result[0] if isinstance(result, tuple) else result
        if not torch.isfinite(loss):
            raise baft.DataError(
                f"The loss is {loss.item()} at step {self.state.global_step + 1}, "
                f"in the batch of {', '.join(example_ids)}.",
                "Lower --lr, or look at those examples; go on from the last checkpoint with "
                "--resume.",
            )
        if model.training:
            self._watch.tokens += int(inputs["attention_mask"].sum())
        return result


class Watch(TrainerCallback):  # type: ignore[misc]
    """Passes on what the loop logs."""

    def __init__(self, log: Callable[[Mapping[str, Any]], None]) -> None:
        self.tokens = 0
        self._log = log
        self._seen = 0
        self._spent_s = 0.0
        self._started = 0.0

    def mean_speed(self) -> float | None:
        """Tokens a second, prompts included; None where no step was taken."""
        return self.tokens / self._spent_s if self._spent_s else None

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock of a step."""
        self._started = time.perf_counter()
        self._seen = self.tokens

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Tell of a step, or of an evaluation."""
        entry = kwargs.get("logs", {})
        told = {"step": state.global_step, "total": state.max_steps, "epoch": entry.get("epoch")}
        if "loss" in entry:
            took = time.perf_counter() - self._started
            self._spent_s += took
            told |= {"loss": entry["loss"], "lr": entry["learning_rate"]}
            self._log({**told, "tokens_per_s": (self.tokens - self._seen) / took})
        elif "eval_loss" in entry:
            self._log({**told, "val_loss": entry["eval_loss"]})


def _with_adapter(options: Options, base: Path, precision: str, device: str) -> Any:
    extra: dict[str, Any] = {}
    if precision == "bnb4":
        from transformers import BitsAndBytesConfig

        extra["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    model = loading.load_weights(base, dtype=DTYPES[precision], device=device, **extra)
    model.config.use_cache = False
    if precision == "bnb4":
        from peft import prepare_model_for_kbit_training

        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    set_seed(options.seed)
    config = LoraConfig(
        r=options.lora_r,
        lora_alpha=options.lora_alpha,
        lora_dropout=options.lora_dropout,
        target_modules=list(options.target_modules),
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        raise baft.UsageError(
            f"The model has no modules named {', '.join(options.target_modules)}: {error}",
            "Name its linear layers with --target-modules.",
        ) from error


def _arguments(
    options: Options, output: Path, examples: int, has_val: bool, device: str, model: Any
) -> TrainingArguments:
    batches = math.ceil(examples / options.batch_size)
    by_epoch = math.ceil(batches / options.grad_accum)
    steps = options.max_steps or by_epoch * options.epochs
    is_big = model.get_nb_trainable_parameters()[1] >= loading.SMALL
    return TrainingArguments(
        output_dir=str(output),
        num_train_epochs=options.epochs,
        max_steps=options.max_steps or -1,
        learning_rate=options.lr,
        lr_scheduler_type="cosine",
        warmup_steps=min(options.warmup_steps, steps),
        weight_decay=options.weight_decay,
        max_grad_norm=options.clip,
        optim="adamw_torch",
        per_device_train_batch_size=options.batch_size,
        per_device_eval_batch_size=options.batch_size,
        gradient_accumulation_steps=options.grad_accum,
        gradient_checkpointing=is_big,  # a big model's activations do not fit beside it
        gradient_checkpointing_kwargs={"use_reentrant": False} if is_big else None,
        eval_strategy="epoch" if has_val else "no",
        save_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=has_val,
        metric_for_best_model="eval_loss" if has_val else None,
        greater_is_better=False if has_val else None,
        logging_steps=1,
        logging_nan_inf_filter=False,
        seed=options.seed,
        data_seed=options.seed,
        use_cpu=device == "cpu",
        dataloader_pin_memory=device != "cpu",
        remove_unused_columns=False,
        label_names=["labels"],
        prediction_loss_only=True,
        disable_tqdm=True,
        log_level="error",
        report_to="none",
    )


def _by_epoch(history: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Mean training loss and the validation loss of each epoch; the latter None without one."""
    epochs: list[dict[str, Any]] = []
    steps: list[float] = []
    for entry in history:
        if "loss" in entry:
            steps.append(entry["loss"])
        elif "eval_loss" in entry:
            mean = sum(steps) / len(steps) if steps else None
            epochs.append(
                {"epoch": entry["epoch"], "train_loss": mean, "val_loss": entry["eval_loss"]}
            )
            steps = []
    if steps:
        mean = sum(steps) / len(steps)
        epochs.append({"epoch": history[-1].get("epoch"), "train_loss": mean, "val_loss": None})
    return epochs
