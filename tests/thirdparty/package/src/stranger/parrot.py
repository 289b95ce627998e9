"""Answers with what stands before and after the last word of the prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import baft


class Parrot:
    """``parrot:FORM``, such as ``parrot:Hello_NAME``; ``NAME`` becomes the prompt's last word."""

    batch_size = 2
    max_concurrency: int | None = None

    def __init__(self, form: str) -> None:
        self.spec = f"parrot:{form}"
        self._form = form.replace("_", " ")

    def fingerprint(self) -> str:
        return baft.digest({"parrot": 1, "form": self._form})

    def describe(self) -> Mapping[str, Any]:
        return {"provider": "parrot", "form": self._form}

    async def generate(
        self, prompts: Sequence[baft.Prompt], decoding: baft.Decoding
    ) -> list[baft.Generation]:
        return [self._answer(prompt) for prompt in prompts]

    async def close(self) -> None:
        pass

    def _answer(self, prompt: baft.Prompt) -> baft.Generation:
        last = (prompt.messages[-1].content.split() or [""])[-1]
        text = self._form.replace("NAME", last).encode("utf-8", "replace").decode()
        return baft.Generation(example_id=prompt.example_id, text=text, finish_reason="stop")
