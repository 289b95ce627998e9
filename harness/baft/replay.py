"""The ``replay:`` backend: outputs that were generated elsewhere, read from a JSONL file.

Lines are ``{"id" or "concept" or "inputs", "output"}``; an output is text, parsed like any
generation, or an object of fields, taken as the prediction as it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import BackendError, DataError
from .hookspecs import hookimpl
from .records import Decoding, Generation, Prompt, digest
from .store.files import file_sha256
from .store.replays import replay_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .protocols import Backend, Register


@hookimpl
def baft_register_backends(register: Register[Backend]) -> None:
    """Offer ``replay``."""
    register("replay", lambda target, context: ReplayBackend(Path(target).expanduser()))


@hookimpl
def baft_recognise_path(path: Path) -> str | None:
    """A ``*.jsonl`` file is a replay."""
    return f"replay:{path}" if path.suffix == ".jsonl" and path.is_file() else None


class ReplayBackend:
    """Answers with what a file holds for the example."""

    batch_size: int = 256
    max_concurrency: int | None = 1

    def __init__(self, path: Path) -> None:
        self.spec = f"replay:{path}"
        self._path = path
        self._outputs = _by_key(path)
        self._sha256 = file_sha256(path)

    def fingerprint(self) -> str:
        """Hash of the file."""
        return digest({"replay": self._sha256})

    def describe(self) -> Mapping[str, Any]:
        """The file, its hash and how many outputs it holds."""
        return {
            "provider": "replay",
            "path": str(self._path),
            "sha256": self._sha256,
            "outputs": len(self._outputs),
            "cache": False,
        }

    async def generate(self, prompts: Sequence[Prompt], decoding: Decoding) -> list[Generation]:
        """The stored outputs.

        Raises:
            BackendError: a prompt of a single-prompt call has no output in the file.
        """
        return [self._answer(prompt) for prompt in prompts]

    def _answer(self, prompt: Prompt) -> Generation:
        for key in keys(prompt.example_id, prompt.inputs):
            if key in self._outputs:
                output = self._outputs[key]
                break
        else:
            raise BackendError(
                f"{self._path} holds no output for example {prompt.example_id!r}.",
                "Add a line for it; `baft eval` would miss it too.",
            )
        if isinstance(output, str):
            return Generation(example_id=prompt.example_id, text=output, latency_s=0.0)
        return Generation(example_id=prompt.example_id, text="", fields=output, latency_s=0.0)

    async def close(self) -> None:
        """Nothing to give back."""


def keys(example_id: str, inputs: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a line may name an example by: its id, its inputs, or its only input."""
    named = [("id", example_id), ("inputs", digest(dict(inputs)))]
    if len(inputs) == 1:
        named.append(("text", str(next(iter(inputs.values()))).strip()))
    return named


def _by_key(path: Path) -> dict[tuple[str, str], str | Mapping[str, Any]]:
    """Outputs by the key that each line names.

    Raises:
        DataError: two lines name one example, or there is no line.
    """
    outputs: dict[tuple[str, str], str | Mapping[str, Any]] = {}
    for row in replay_rows(path):
        if row.key in outputs:
            raise DataError(
                f"{path}, line {row.line}: a second output for {row.key[0]} {row.key[1][:60]!r}.",
                "Keep one of them.",
            )
        outputs[row.key] = row.output
    if not outputs:
        raise DataError(f"{path} holds no output.", "A replay has one JSON object a line.")
    return outputs
