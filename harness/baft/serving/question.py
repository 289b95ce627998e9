"""A question to the model in service: the prompt of the evaluation, and how it is answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import BackendError, UsageError
from ..loader import describe
from ..protocols import Streaming
from ..records import Decoding, digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..promotion import InService
    from ..protocols import Backend, Role
    from ..records import Generation, Prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What the model is sent."""

    prompt: Prompt
    decoding: Decoding

    @property
    def prompt_sha256(self) -> str:
        """Of the messages: two sides that agree on it ask the same."""
        return digest([[message.role, message.content] for message in self.prompt.messages])


def question(
    role: Role,
    service: InService,
    inputs: Mapping[str, Any],
    *,
    temperature: float | None = None,
    max_tokens: int | None = None,
    seed: int | None = None,
) -> Question:
    """Render the role's prompt; what is None is as the configuration has it.

    Raises:
        UsageError: there is no question in the inputs, or a setting is out of range.
    """
    given = {
        "temperature": service.temperature if temperature is None else temperature,
        "max_tokens": service.max_tokens if max_tokens is None else max_tokens,
        "seed": seed,
    }
    try:
        decoding = Decoding(**{key: value for key, value in given.items() if value is not None})  # type: ignore[arg-type]
        example = role.example(dict(inputs))
    except ValueError as error:
        raise UsageError(f"{error}.", "Check the question and roles in config.yaml.") from error
    return Question(prompt=role.prompt(example), decoding=decoding)


async def answered(
    backend: Backend, asked: Question, heard: Callable[[str], None] | None = None
) -> Generation:
    """What the model says.

    Args:
        backend: the model.
        asked: the question.
        heard: told of the text piece by piece while it is written, where the backend can.

    Raises:
        BackendError: it cannot answer.
    """
    try:
        if heard is not None and isinstance(backend, Streaming):
            return await backend.stream(asked.prompt, asked.decoding, heard)
        (generation,) = await backend.generate([asked.prompt], asked.decoding)
    except BackendError:
        raise
    except Exception as error:  # border: plugin call
        raise BackendError(f"{backend.spec} failed to answer: {describe(error)}.") from error
    return generation
