"""``dspy:DIR?lm=SPEC``: an optimized program over any other model."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from baft import Backend, Decoding, Generation, Prompt, UsageError, digest

from . import program as programs
from . import reading
from .batcher import Asking, Batcher
from .lm import ADAPTER, Engine, language_model, run_program
from .recorded import recorded_lm

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from baft import Context

THREADS = 1024
"""Most programs that run at once; a thread exists only while its program does."""


def open_backend(target: str, context: Context) -> ProgramBackend:
    """Open ``DIR``, ``FILE`` or either with ``?lm=SPEC``.

    Raises:
        UsageError: no role, no language model, or an option that does not exist.
        DataError: the program cannot be read, or is another role's.
    """
    if context.role is None:
        raise UsageError("A DSPy program needs a role.", "Add --role.")
    name, mark, option = target.partition("?")
    if mark and not option.startswith("lm="):
        raise UsageError(
            f"dspy:{target} has an unknown option {option.split('=')[0]!r}.",
            "Write dspy:DIR?lm=SPEC.",
        )
    path = reading.find(Path(name).expanduser(), allow_pickle=context.allow_pickle)
    program = reading.load(path, context.role)
    lm = option.removeprefix("lm=") or recorded_lm(path)
    if lm.startswith("dspy:"):
        raise UsageError(f"A DSPy program cannot run on another one, {lm!r}.", "Name its model.")
    return ProgramBackend(f"dspy:{target}", path, program, context.open(lm))


class ProgramBackend:
    """A program and the backend that answers what it asks."""

    def __init__(self, spec: str, path: Path, program: Any, inner: Backend) -> None:
        self.spec = spec
        self.batch_size = max(1, inner.batch_size)
        self.max_concurrency = inner.max_concurrency
        self._path = path
        self._program = program
        self._inner = inner
        self._batcher = Batcher(inner, threads=THREADS)
        self._lm = language_model(Engine(self._batcher, Decoding()))

    def fingerprint(self) -> str:
        """Digest of the program, the model under it, and what renders the one for the other."""
        return digest(
            {
                "program": programs.state_of(self._program),
                "lm": self._inner.fingerprint(),
                "dspy": version("dspy"),
                "adapter": type(ADAPTER).__name__,
            }
        )

    def describe(self) -> Mapping[str, Any]:
        """The program, and what the model under it says of itself."""
        signature = self._program.generate.signature
        sha256 = programs.program_sha256(self._program)
        return {
            "provider": "dspy",
            "program": str(self._path),
            "program_sha256": sha256,
            "instructions": signature.instructions,
            "demos": len(self._program.generate.demos),
            "adapter": type(ADAPTER).__name__,
            "dspy": version("dspy"),
            "optimization": reading.search_beside(self._path, sha256),
            "lm": dict(self._inner.describe()),
        }

    async def generate(self, prompts: Sequence[Prompt], decoding: Decoding) -> list[Generation]:
        """Run the program once for each prompt, each in a thread of its own."""
        askings = [Asking(p.example_id, p.inputs, decoding) for p in prompts]
        futures = self._batcher.run(self._run, askings)
        try:
            waits = (asyncio.wrap_future(future) for future in futures)
            answers = await asyncio.gather(*waits, return_exceptions=True)
        except asyncio.CancelledError:
            for asking in askings:
                asking.cancel()
            raise
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return [answer for answer in answers if isinstance(answer, Generation)]

    def _run(self, asking: Asking) -> Generation:
        return run_program(self._program, self._lm, asking)

    async def close(self) -> None:
        """Close the model under the program."""
        await self._batcher.close()
