"""``baft doctor --train …``: what a line of ``baft train`` would take, without starting it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand

from .common import state

if TYPE_CHECKING:
    from collections.abc import Mapping

LINE = "baft.doctor.train"
"""Where the arguments are kept that are meant for ``baft train``."""


class MaybeTrain(TyperCommand):
    """Passes a line with ``--train`` on as it is, to be read as ``baft train`` reads it."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """The command's own arguments, or none where the line is one of ``baft train``."""
        is_train = any(arg.split("=")[0] == "--train" for arg in args)
        if is_train and "--help" not in args:
            ctx.meta[LINE] = list(args)
            args = []
        return super().parse_args(ctx, args)


def examine(ctx: typer.Context, line: list[str]) -> None:
    """Print what the trainer says of this line of ``baft train``.

    Raises:
        UsageError: the trainer tells nothing beforehand, or the run cannot fit.
        DataError: the data or the model are not as they must be.
    """
    from ..errors import UsageError
    from ..protocols import Preflight
    from .train import asked

    here = state(ctx)
    parent: Any = ctx.parent
    command = parent.command.get_command(parent, "train")
    params = command.make_context("train", line, parent=parent)
    lessons, options = asked(params)
    out = sys.stdout  # which plugins may not write to
    as_json: bool = params.params["json"]

    def log(step: Mapping[str, Any]) -> None:
        if not as_json and "message" in step:
            print(step["message"], file=out, flush=True)

    maker = here.plugins.make("trainers", lessons.trainer)
    if not isinstance(maker, Preflight):
        raise UsageError(
            f"The trainer {lessons.trainer!r} tells nothing before it trains.",
            "Try a smoke run: baft train with --max-steps 1.",
        )
    train, val = lessons.train.examples, lessons.val.examples
    with here.plugins.calling("trainers", lessons.trainer):
        found = maker.preflight(lessons.role, train, val, params.params["output"], options, log)
    if as_json:
        here.emit(dict(found), True)
    else:
        print(f"This run fits. Start it: {lessons.command}")
