"""The promises of a trainer."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BaftError
from ..records import digest
from .promises import must, must_be_json, silence

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..protocols import Backend, Role, Trainer
    from ..records import Example


class _Stopped(BaseException):
    """Ctrl-C, as far as a trainer can tell."""


def check_trainer(
    make: Callable[[], Trainer],
    role: Role,
    train: Sequence[Example],
    val: Sequence[Example],
    folder: Path,
    *,
    options: Mapping[str, Any] | None = None,
    opened: Callable[[Path], Backend] | None = None,
    deterministic: bool = True,
) -> None:
    """Check a trainer: what it leaves, what it logs, and that it can be stopped.

    It trains four times, so give it little to do.

    Args:
        make: makes the trainer anew each time.
        role: whose prompts and targets are taught.
        train: examples to learn, at least one.
        val: examples to watch; may be empty if the trainer allows it.
        folder: an empty folder to work in.
        options: as ``baft train`` passes them, base model and all.
        opened: opens what was written to a folder; with it, the model is known by its content.
        deterministic: the same seed makes the same model; False where it makes no such claim.

    Raises:
        AssertionError: the first promise that is broken.
    """
    given = dict(options or {})

    def run(name: str, log: Callable[[Mapping[str, Any]], None], some: Sequence[Example]) -> Any:
        return make().train(role, some, val, folder / name, dict(given), log)

    with silence("a trainer"):
        before = digest([[asdict(example) for example in data] for data in (train, val)])
        steps: list[Mapping[str, Any]] = []
        info = run("first", steps.append, train)
        after = digest([[asdict(example) for example in data] for data in (train, val)])
        must(before == after, "train() must not change the examples")
        must(isinstance(info, Mapping), "train() must return a mapping")
        must_be_json(dict(info), "what train() returns")
        _check_steps(steps)
        must(any((folder / "first").rglob("*")), "train() wrote nothing to its output")
        _check_taken(folder / "first", lambda: run("first", steps.append, train))
        _check_refusal(lambda: run("none", steps.append, []), "nothing to train on")
        if opened is not None:
            _check_model(folder, opened, lambda: run("second", steps.append, train), deterministic)
        _check_stopping(lambda log: run("stopped", log, train))


def _check_steps(steps: Sequence[Mapping[str, Any]]) -> None:
    must(bool(steps), "train() must log at least one step")
    done = 0
    for step in steps:
        must_be_json(dict(step), "a logged step")
        must("step" in step or "message" in step, f"a logged step has step or message: {step}")
        if "step" in step:
            must(step["step"] >= done, f"steps go back from {done} to {step['step']}")
            done, total = step["step"], step.get("total")
            must(total is None or done <= total, f"step {done} of {total}")


def _check_taken(output: Path, again: Callable[[], Any]) -> None:
    """A finished model is not overwritten."""
    before = _content(output)
    _check_refusal(again, "an output that holds a model already")
    must(_content(output) == before, "train() must not touch a model that is finished")


def _check_refusal(call: Callable[[], Any], what: str) -> None:
    try:
        call()
    except BaftError as error:
        must(bool(error.message), "an error must say what happened")
        return
    except Exception as error:
        raise AssertionError(f"{what} must be a BaftError, not {error!r}") from error
    must(False, f"{what} must be a BaftError")


def _check_model(
    folder: Path, opened: Callable[[Path], Backend], again: Callable[[], Any], deterministic: bool
) -> None:
    def fingerprint(path: Path) -> str:
        backend = opened(path)
        found = backend.fingerprint()
        asyncio.run(backend.close())
        return found

    first = fingerprint(folder / "first")
    shutil.copytree(folder / "first", folder / "copy")
    must(fingerprint(folder / "copy") == first, "a copy of the model has another fingerprint")
    if deterministic:
        again()
        must(
            fingerprint(folder / "second") == first,
            "the same seed makes another model; if that is so, deterministic=False",
        )


def _check_stopping(run: Callable[[Callable[[Mapping[str, Any]], None]], Any]) -> None:
    def stop(step: Mapping[str, Any]) -> None:
        raise _Stopped

    try:
        run(stop)
    except _Stopped:
        return
    must(False, "Ctrl-C while a step is logged must stop train()")


def _content(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return digest([[str(path.relative_to(folder)), path.read_bytes().hex()] for path in files])
