"""Every promise of a trainer that the contract checks know, and what breaks it."""

from __future__ import annotations

import sys
from contextlib import suppress

import pytest

import baft
from baft import Example, UsageError
from baft.testing import (
    FakeBackend,
    check_trainer,
)
from baft_ba.role import BusinessAnalyst


class Counter:
    """Learns how many examples there are; keeps every promise of a trainer."""

    def train(self, role, train, val, output, options, log):
        if not train:
            raise baft.DataError("There is no example to train on.")
        if output.exists():
            raise UsageError(f"{output} is taken.", "Choose another --output.")
        for step in range(1, 3):
            log({"step": step, "total": 2, "loss": 1 / step})
        output.mkdir(parents=True)
        (output / "model.txt").write_text(self.learn(train, options), "utf-8")
        return {"examples": len(train)}

    def learn(self, train, options):
        return f"{len(train)} {options['seed']}"


class Overwriting(Counter):
    def train(self, role, train, val, output, options, log):
        if output.exists():
            (output / "model.txt").unlink()
            output.rmdir()
        return super().train(role, train, val, output, options, log)


class Unhappy(Counter):
    def train(self, role, train, val, output, options, log):
        return super().train(role, train, val, output, options, log) if train else train[0]


class Silent(Counter):
    def train(self, role, train, val, output, options, log):
        return super().train(role, train, val, output, options, lambda step: None)


class Swallowing(Counter):
    def train(self, role, train, val, output, options, log):
        def quiet(step):
            with suppress(BaseException):
                log(step)

        return super().train(role, train, val, output, options, quiet)


class Overcounting(Counter):
    def train(self, role, train, val, output, options, log):
        log({"step": 3, "total": 2})
        return super().train(role, train, val, output, options, log)


class Empty(Counter):
    def train(self, role, train, val, output, options, log):
        info = super().train(role, train, val, output, options, log)
        (output / "model.txt").unlink()
        return info


class Returning(Counter):
    def train(self, role, train, val, output, options, log):
        super().train(role, train, val, output, options, log)


class Dicing(Counter):
    made = 0

    def learn(self, train, options):
        Dicing.made += 1
        return str(Dicing.made)


class Shouting(Counter):
    def learn(self, train, options):
        sys.stdout.write("learning")
        return "x"


def by_content(folder):
    return FakeBackend((folder / "model.txt").read_text("utf-8"))


def by_path(folder):
    return FakeBackend(str(folder))


def training(tmp_path, kind, opened=by_content, **more):
    examples = [Example(id=str(i), inputs={"concept": str(i)}, reference={}) for i in range(3)]
    check_trainer(
        kind,
        BusinessAnalyst(),
        examples,
        examples[:1],
        tmp_path,
        options={"seed": 1},
        opened=opened,
        **more,
    )


def test_a_trainer_that_keeps_its_promises_passes(tmp_path):
    training(tmp_path, Counter)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Overwriting, "an output that holds a model already must be a BaftError"),
        (Unhappy, "nothing to train on must be a BaftError, not IndexError"),
        (Silent, "must log at least one step"),
        (Swallowing, "Ctrl-C while a step is logged must stop"),
        (Overcounting, "step 3 of 2"),
        (Empty, "wrote nothing"),
        (Returning, "must return a mapping"),
        (Dicing, "the same seed makes another model"),
        (Shouting, "must print nothing on stdout"),
    ],
)
def test_a_trainer_that_breaks_a_promise_is_found(tmp_path, kind, words):
    with pytest.raises(AssertionError, match=words):
        training(tmp_path, kind)


def test_a_trainer_may_say_that_it_is_not_deterministic(tmp_path):
    training(tmp_path, Dicing, deterministic=False)


def test_a_model_known_by_its_path_is_found(tmp_path):
    with pytest.raises(AssertionError, match="a copy of the model has another fingerprint"):
        training(tmp_path, Counter, by_path)
