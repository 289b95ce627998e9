"""A role small enough for a model of a few thousand weights, and what it learns from."""

from __future__ import annotations

import baft


class Echo:
    """Says a word twice."""

    name = "echo"

    def prompt(self, example):
        message = baft.Message(role="user", content=f"Say {example.inputs['word']}")
        return baft.Prompt(example_id=example.id, inputs=example.inputs, messages=(message,))

    def target(self, example):
        if example.reference is None:
            raise ValueError("no reference")
        return example.reference["answer"]


def examples(*words):
    return [
        baft.Example(id=word, inputs={"word": word}, reference={"answer": f"{word}! {word}!"})
        for word in words
    ]


TRAIN = examples("one", "two", "three", "four", "five", "six")
VAL = examples("seven", "eight")
