"""The training loop: transformers' Trainer, told what to watch. Letters: B rows, T tokens."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
from peft import get_peft_model_state_dict
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    set_seed,
)

import baft

from . import checkpoints, loading, pacing, packing
from .beginning import begin
from .distributed import Group, Order, dealt, same_everywhere, share
from .watching import Watch, by_epoch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import Tensor

    from .lessons import Lesson
    from .options import Options
    from .pacing import Pace
    from .preflight import Plan

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "bnb4": "bnb4"}

IGNORED = -100
"""Label of a token that is not to be learnt, by torch's convention."""


def run(
    options: Options,
    base: Path,
    sets: Sequence[Sequence[Lesson]],
    *,
    output: Path,
    checkpoint: Path | None,
    plan: Plan,
    device: str,
    group: Group,
    log: Callable[[Mapping[str, Any]], None],
) -> tuple[dict[str, Tensor], Any, dict[str, Any]]:
    """The best adapter's weights, the model, and what ``training_info.json`` tells of the way.

    The options are those of all processes of the group together.

    Raises:
        DataError: a loss is not finite; the examples of that batch are named. Or the disk is full.
        UsageError: the batches cannot be shared by the group, or a batch does not fit the GPU.
    """
    watch = Watch(log, group)
    with loading.quiet():
        with group.together():
            trainer = _trainer(options, base, sets, output, plan, device, group, watch)
            model = trainer.model
            packed = trainer.read_packs(plan)
            checkpoints.check_room(output, (checkpoints.KEPT + 2) * _checkpoint_bytes(model))
        trainable, total = model.get_nb_trainable_parameters()
        with loading.few_threads(total):
            log({"message": packed})
            found_pace = _pace(trainer, sets, group, watch, checkpoint)
            log({"message": str(found_pace)})
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        weights = trainer.adapter()
    best = trainer.state.best_model_checkpoint
    found = {
        "trainable_params": trainable,
        "total_params": total,
        "trainable_percentage": 100 * trainable / total,
        "steps": trainer.state.global_step,
        "resumed_from": checkpoint.name if checkpoint else None,
        "best_checkpoint": best.replace("\\", "/").rpartition("/")[2] if best else None,
        "best_val_loss": trainer.state.best_metric,
        "losses": by_epoch(trainer.state.log_history),
        "step_losses": [entry["loss"] for entry in trainer.state.log_history if "loss" in entry],
        "tokens_per_s": watch.mean_speed(),
        "packing": packed,
        "steps_s": watch.spent_s,
        "forecast": asdict(found_pace),
    }
    return weights, model, found


def rehearse(
    options: Options, base: Path, sets: Sequence[Sequence[Lesson]], plan: Plan, device: str
) -> Pace:
    """How long ``run`` would take: the model is loaded, one batch is measured, nothing is kept.

    Raises:
        DataError: the loss of that batch is not finite.
        UsageError: the batch does not fit the GPU.
    """
    group = Group.join(device)
    watch = Watch(lambda step: None, group)
    with loading.quiet(), TemporaryDirectory() as folder:
        trainer = _trainer(options, base, sets, Path(folder), plan, device, group, watch)
        trainer.read_packs(plan)
        with loading.few_threads(trainer.model.get_nb_trainable_parameters()[1]):
            return _pace(trainer, sets, group, watch, None)


def _trainer(
    options: Options,
    base: Path,
    sets: Sequence[Sequence[Lesson]],
    output: Path,
    plan: Plan,
    device: str,
    group: Group,
    watch: Watch,
) -> LessonTrainer:
    """The loop, ready to begin."""
    train, val = sets
    mine = share(options, group)
    model = _with_adapter(options, base, plan.need.precision, device)
    rows, order = dealt(
        train, group, batch_size=mine.batch_size, accum=mine.grad_accum, seed=mine.seed
    )
    trainer = LessonTrainer(
        watch,
        order,
        group,
        model=model,
        args=_arguments(mine, output, len(train), group.size, bool(val), device, plan),
        train_dataset=rows,
        eval_dataset=list(val) or None,
        data_collator=collate,
        callbacks=[watch],
    )
    trainer.remove_callback(PrinterCallback)
    if options.early_stopping and val:
        trainer.add_callback(EarlyStoppingCallback(options.early_stopping))
    return trainer


def _pace(
    trainer: LessonTrainer,
    sets: Sequence[Sequence[Lesson]],
    group: Group,
    watch: Watch,
    checkpoint: Path | None,
) -> Pace:
    """What one measured batch says of the steps to come."""
    rows = trainer.heaviest(sets[0])
    measured = pacing.measure(trainer, rows)
    watch.tokens = 0
    done = int(checkpoint.name.partition("-")[2]) if checkpoint else 0
    args = trainer.args
    batches = math.ceil(len(sets[0]) / (args.per_device_train_batch_size * group.size))
    an_epoch = math.ceil(batches / args.gradient_accumulation_steps)
    steps = args.max_steps if args.max_steps > 0 else math.ceil(an_epoch * args.num_train_epochs)
    return pacing.pace(
        measured,
        batch_tokens=trainer.computed_tokens(rows),
        train_tokens=trainer.computed_tokens(sets[0]),
        val_tokens=sum(len(row.ids) for row in sets[1]),
        by_epoch=an_epoch,
        steps=max(0, steps - done),
        processes=group.size,
    )


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
        "lessons": list(rows),
    }


class LessonTrainer(Trainer):  # type: ignore[misc]
    """Stops at a loss that is not finite, counts tokens, and leaves no half-written checkpoint."""

    def __init__(self, watch: Watch, order: Order, group: Group, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._watch = watch
        self._order = order
        self._group = group
        self._budget: int | None = None
        self._shares = False

    def read_packs(self, plan: Plan) -> str:
        """Learn from packs of an optimizer step's examples, where the model can read them.

        Returns:
            What the user is told of it.
        """
        model = self.model.get_base_model()
        rows = (*self.train_dataset, *(self.eval_dataset or ()))
        reason = packing.why_not(model.config, max(len(row.ids) for row in rows))
        if self.is_fsdp_enabled:
            reason = "the model is spread over processes"
        if reason:
            return f"packing: none, each example is computed by itself: {reason}"
        packing.prepare(model)
        self._budget = plan.pack_tokens
        self._shares = plan.stays
        return (
            "packing: what the prompts of a step have in common is computed once, up to "
            f"{self._budget} tokens at a time"
        )

    def heaviest(self, lessons: Sequence[Lesson]) -> list[Lesson]:
        """What takes longest at once: the longest batch, or a pack of a step's longest."""
        longest = sorted(lessons, key=lambda row: len(row.ids), reverse=True)
        batches = next(self._by_step(longest))
        return batches[0] if self._budget is None else packing.packs(batches, self._budget)[0]

    def computed_tokens(self, lessons: Sequence[Lesson]) -> int:
        """Tokens that pass through the model for these examples, taken in this order."""
        if self._budget is None:
            return sum(len(row.ids) for row in lessons)
        found = 0
        for batches in self._by_step(lessons):
            made = packing.packs(batches, self._budget)
            found += sum(packing.packed_tokens(rows) for rows in made)
            beginning = begin(made) if self._shares else None
            if beginning:
                found -= (len(made) - 1) * len(beginning.ids)
        return found

    def _by_step(self, lessons: Sequence[Lesson]) -> Iterator[list[list[Lesson]]]:
        """The batches of each optimizer step."""
        size = self.args.per_device_train_batch_size
        batches = [[*lessons[at : at + size]] for at in range(0, len(lessons), size)]
        by_step = self.args.gradient_accumulation_steps
        yield from (batches[at : at + by_step] for at in range(0, len(batches), by_step))

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        """The batches of an optimizer step; the last of them have all examples in packs."""
        batches, count = super().get_batch_samples(*args, **kwargs)
        if self._budget is not None:
            made = packing.packs([batch["lessons"] for batch in batches], self._budget)
            beginning = begin(made) if self._shares else None
            for batch, rows in zip(batches, [[]] * (len(batches) - len(made)) + made, strict=True):
                batch.update(lessons=rows, beginning=beginning)
        return batches, count

    def training_step(self, model: Any, inputs: dict[str, Any], *args: Any) -> Tensor:
        """Forward and backward of one batch, or nothing where its examples are in another."""
        if not inputs["lessons"]:
            return torch.zeros((), device=self.args.device)
        loss: Tensor = super().training_step(model, inputs, *args)
        return loss

    def _get_train_sampler(self, train_dataset: Any = None) -> Order:
        return self._order

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        if not self.is_fsdp_enabled:
            same_everywhere(self._group, (p for p in self.model.parameters() if p.requires_grad))
        with self._group.together():
            checkpoints.check_room(folder.parent, _checkpoint_bytes(self.model))
        with checkpoints.writing(folder) if self._group.is_writer else nullcontext():
            super()._save_checkpoint(model, trial)
            self._group.total(0)  # the others have written their random states

    def adapter(self) -> dict[str, Tensor]:
        """The adapter's weights by name, gathered where processes hold parts of them."""
        whole = (
            self.accelerator.get_state_dict(self.model_wrapped) if self.is_fsdp_enabled else None
        )
        return dict(
            get_peft_model_state_dict(self.model, state_dict=whole, save_embedding_layers=False)
        )

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """The loss of one batch."""
        rows, beginning = inputs.pop("lessons"), inputs.pop("beginning", None)
        if not model.training:  # a batch by itself, whatever other processes have at the same time
            kwargs["num_items_in_batch"] = None
        named = [row.example_id for row in rows]
        tokens = sum(len(row.ids) for row in rows)
        if self._budget is None:
            result = super().compute_loss(model, inputs, *args, **kwargs)
            loss = result[0] if isinstance(result, tuple) else result
        else:
            packed = packing.pack(rows, len(beginning.ids) if beginning else 0)
            losses = packing.losses(model, packed, self.args.device, beginning)
            count = kwargs.get("num_items_in_batch")
            processes = 1 if count is None else self.accelerator.num_processes
            loss = losses.sum() * processes / (sum(packed.weights) if count is None else count)
            result = (loss, {}) if kwargs.get("return_outputs") else loss
            named = packed.broken(losses) or named
        if not torch.isfinite(loss):
            raise baft.DataError(
                f"The loss is {loss.item()} at step {self.state.global_step + 1}, "
                f"in the batch of {', '.join(named)}.",
                "Lower --lr, or look at those examples; go on from the last checkpoint with "
                "--resume.",
            )
        if model.training:
            self._watch.tokens += tokens
        return result


def _with_adapter(options: Options, base: Path, precision: str, device: str) -> Any:
    model = loading.load_weights(base, dtype=DTYPES[precision], device=device)
    model.config.use_cache = False
    if precision == "bnb4":
        from peft import prepare_model_for_kbit_training

        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    set_seed(options.seed)
    return loading.adapt(model, options)


def _checkpoint_bytes(model: Any) -> int:
    trained = [p for p in model.parameters() if p.requires_grad]
    count = sum(p.numel() for p in trained)
    return checkpoints.expected_bytes(count, max((p.element_size() for p in trained), default=0))


def _arguments(
    options: Options,
    output: Path,
    examples: int,
    processes: int,
    has_val: bool,
    device: str,
    plan: Plan,
) -> TrainingArguments:
    batches = math.ceil(examples / (options.batch_size * processes))
    by_epoch = math.ceil(batches / options.grad_accum)
    steps = options.max_steps or by_epoch * options.epochs
    recompute = plan.need.recompute
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
        gradient_checkpointing=recompute,
        gradient_checkpointing_kwargs={"use_reentrant": False} if recompute else None,
        eval_strategy="epoch" if has_val else "no",
        save_strategy="epoch",
        save_total_limit=checkpoints.KEPT,
        load_best_model_at_end=has_val,
        metric_for_best_model="eval_loss" if has_val else None,
        greater_is_better=False if has_val else None,
        logging_steps=1,
        logging_nan_inf_filter=False,
        seed=options.seed,
        data_seed=options.seed,
        use_cpu=device == "cpu",
        ddp_find_unused_parameters=False,
        dataloader_pin_memory=device != "cpu",
        remove_unused_columns=False,
        label_names=["labels"],
        prediction_loss_only=True,
        disable_tqdm=True,
        log_level="error",
        report_to="none",
    )
