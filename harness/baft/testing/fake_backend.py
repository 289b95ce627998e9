"""A backend that answers from a table, waits, or fails on demand, and counts what it is asked."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import BackendError
from ..records import Generation, Prompt, digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..records import Decoding

Output = str | Generation | Exception
"""A text, a whole generation, or what is raised instead."""

Outputs = str | Mapping[str, Output] | Callable[[Prompt], Output]
"""One text for all; a table by example id or by a part of the prompt; or a function."""


class FakeBackend:
    """Satisfies the ``Backend`` protocol without a model.

    Args:
        outputs: what it answers.
        spec: the spec it says it was opened with; a part of its fingerprint.
        batch_size: most prompts in one call.
        max_concurrency: most calls at once, or None.
        wait_s: seconds that each call takes.
        fail_first: so many first calls for each example raise a retryable ``BackendError``.
    """

    def __init__(
        self,
        outputs: Outputs = "An answer.",
        *,
        spec: str = "fake:model",
        batch_size: int = 1,
        max_concurrency: int | None = None,
        wait_s: float = 0.0,
        fail_first: int = 0,
    ) -> None:
        self.spec = spec
        self.batch_size = batch_size
        self.max_concurrency = max_concurrency
        self.calls: list[tuple[str, ...]] = []
        """Example ids of every call, in order."""
        self.asked: Counter[str] = Counter()
        """How often each example was asked."""
        self.decodings: set[Decoding] = set()
        """With what."""
        self.most_at_once = 0
        """Most calls that were under way at the same time."""
        self.closed = 0
        """How often it was closed."""
        self._outputs = outputs
        self._wait_s = wait_s
        self._fail_first = fail_first
        self._at_once = 0

    def fingerprint(self) -> str:
        """Hash of the spec and, where there is one, the table."""
        known = None if callable(self._outputs) else self._outputs
        table = {key: str(known[key]) for key in known} if isinstance(known, Mapping) else known
        return digest({"fake": self.spec, "outputs": table})

    def describe(self) -> Mapping[str, Any]:
        """That it is a fake."""
        return {"provider": "fake", "model": self.spec.partition(":")[2]}

    async def generate(self, prompts: Sequence[Prompt], decoding: Decoding) -> list[Generation]:
        """The outputs of the prompts.

        Raises:
            BackendError: it is told to fail, or the table holds no output for a prompt.
        """
        self.calls.append(tuple(prompt.example_id for prompt in prompts))
        self.asked.update(self.calls[-1])
        self.decodings.add(decoding)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            await asyncio.sleep(self._wait_s)
        finally:
            self._at_once -= 1
        if any(self.asked[prompt.example_id] <= self._fail_first for prompt in prompts):
            raise BackendError("The fake fails as it was told to.", retryable=True)
        return [self._generation(prompt) for prompt in prompts]

    async def close(self) -> None:
        """Count it."""
        self.closed += 1

    def _generation(self, prompt: Prompt) -> Generation:
        output = self._output(prompt)
        if isinstance(output, Exception):
            raise output
        if isinstance(output, Generation):
            return output
        return Generation(
            example_id=prompt.example_id,
            text=output,
            finish_reason="stop",
            prompt_tokens=sum(len(m.content.split()) for m in prompt.messages),
            completion_tokens=len(output.split()),
            latency_s=self._wait_s,
        )

    def _output(self, prompt: Prompt) -> Output:
        if isinstance(self._outputs, str):
            return self._outputs
        if callable(self._outputs):
            return self._outputs(prompt)
        if prompt.example_id in self._outputs:
            return self._outputs[prompt.example_id]
        text = "\n".join(message.content for message in prompt.messages)
        for part, output in self._outputs.items():
            if part in text:
                return output
        return BackendError(f"The fake's table holds no output for {prompt.example_id!r}.")
