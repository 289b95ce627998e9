"""One question to the model in service, through the prompt of the evaluation."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import DataError, UsageError
from ..promotion import in_service, read_config
from ..promotion.servability import serving_context
from ..records import Generation, Prediction
from . import client
from .question import answered, question
from .running import note_of, read, take_away

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from ..loader import Plugins
    from ..promotion import InService
    from ..protocols import Backend
    from .question import Question


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the model in service said."""

    spec: str
    generation: Generation
    prediction: Prediction


def ask(
    plugins: Plugins,
    *,
    config: Path,
    role: str,
    text: str,
    env: Mapping[str, str],
    options: Mapping[str, Any],
    temperature: float | None = None,
    max_tokens: int | None = None,
    project: Path | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Answer:
    """Ask the model that ``config`` has in service for ``role``.

    Args:
        plugins: all plugins.
        config: the pipeline's configuration.
        role: name of the role.
        text: value of the role's first input, such as the concept.
        env: the environment variables, for the backend.
        options: device and the like, see ``Context``.
        temperature: instead of the configuration's.
        max_tokens: instead of the configuration's.
        project: where a running server would be noted; None asks none.
        say: told which server answers, or why none does.

    Raises:
        UsageError: baft cannot open what is in service, or there is no question.
        DataError: the configuration is not as it must be.
        BackendError: the model cannot answer.
    """
    player = plugins.role(role)
    service = in_service(read_config(config), role, plugins)
    if not service.spec:
        raise UsageError(f"roles.{role} in {config} cannot be asked. {service.problem}")
    inputs = {player.inputs[0].name: text}
    asked = question(player, service, inputs, temperature=temperature, max_tokens=max_tokens)
    generation = _by_server(project, service, inputs, asked, say) if project else None
    if generation is None:
        backend = plugins.open(service.spec, serving_context(plugins, player, env, options))
        generation = asyncio.run(_once(backend, asked))
    prediction = player.parse(generation, "lenient")
    return Answer(spec=service.spec, generation=generation, prediction=prediction)


async def _once(backend: Backend, asked: Question) -> Generation:
    try:
        return await answered(backend, asked)
    finally:
        await backend.close()


def _by_server(
    project: Path,
    service: InService,
    inputs: Mapping[str, Any],
    asked: Question,
    say: Callable[[str], None],
) -> Generation | None:
    """The answer of a running server; None where there is none that has this model loaded."""
    note = note_of(project, service.role)
    try:
        running = read(note)
        if running is None:
            return None
        outdated = running.outdated(service.spec)
        if outdated:
            raise client.Unusable(running, f"is not used: {outdated}.")
        client.check(running)
        say(f"Asking the server at {running.url}, which has {running.spec} loaded.")
        return client.complete(running, inputs, asked)
    except client.Unusable as error:
        if error.is_gone:
            take_away(note, error.running)
        say(str(error))
    except DataError as error:
        say(f"No server is used: {error}")
    return None
