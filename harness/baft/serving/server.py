"""``baft serve``: the model in service stays loaded until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any

from ..errors import BackendError, DataError, UsageError
from ..executors import runs_in_process
from ..loopback import listen, server
from ..promotion import in_service, read_config
from ..promotion.servability import serving_context
from ..records import Decoding, Message, Prompt
from . import client
from .app import Endpoint, make_app
from .question import Question, answered
from .running import Running, files_of, leave, note_of, read, take_away

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import uvicorn

    from ..loader import Plugins
    from ..protocols import Backend, Role


def serve(
    plugins: Plugins,
    *,
    config: Path,
    project: Path,
    role: str,
    env: Mapping[str, str],
    options: Mapping[str, Any],
    ready: Callable[[str], None],
    warn: Callable[[str], None],
    port: int = 0,
    api_key: str = "",
) -> None:
    """Load what ``config`` has in service for ``role`` and answer until Ctrl-C or SIGTERM.

    Args:
        plugins: all plugins.
        config: the pipeline's configuration.
        project: the folder in which the server is noted, for ``baft ask`` to find it.
        role: name of the role.
        env: the environment variables, for the backend.
        options: device and the like, see ``Context``.
        ready: told of the base URL for clients, once the model is loaded.
        warn: told of what goes wrong and changes nothing.
        port: where to listen on 127.0.0.1; 0 takes a free one.
        api_key: what clients must bring; empty where none is needed.

    Raises:
        UsageError: the port is taken, the role is served already, or there is nothing to serve.
        DataError: the configuration is not as it must be.
        BackendError: the model cannot be loaded.
    """
    player = plugins.role(role)
    service = in_service(read_config(config), role, plugins)
    if not service.spec:
        raise UsageError(f"roles.{role} in {config} cannot be served. {service.problem}")
    note = note_of(project, role)
    _refuse_second(note)

    async def run(listening: socket.socket) -> None:
        backend = plugins.open(service.spec, serving_context(plugins, player, env, options))
        try:
            running = Running(
                role=role,
                pid=os.getpid(),
                machine=socket.gethostname(),
                port=listening.getsockname()[1],
                key=secrets.token_urlsafe(32),
                spec=service.spec,
                fingerprint=backend.fingerprint(),
                files=files_of(service.spec, backend.describe()),
            )
            await _load(backend, player)
            endpoint = Endpoint(
                plugins, config=config, role=player, backend=backend, running=running
            )
            app = make_app(endpoint, port=running.port, api_key=api_key, own_key=running.key)
            with _noted(note, running, warn):
                answering = server(app)
                with _stopped_by_signals(answering, endpoint):
                    ready(f"{running.url}/v1")
                    await answering.serve(sockets=[listening])
        finally:
            await backend.close()

    with contextlib.closing(listen(port)) as listening:  # before minutes are spent on loading
        asyncio.run(run(listening))


def _refuse_second(note: Path) -> None:
    """One server a role: two would fill the memory, and only one of them be found.

    Raises:
        UsageError: one is running.
    """
    try:
        running = read(note)
        if running is None:
            return
        client.check(running)
    except (DataError, client.Unusable):  # broken, or gone: the new note takes its place
        return
    raise UsageError(
        f"The process {running.pid} serves {running.role} already, at {running.url}/v1.",
        f"Use it, or stop it first: kill {running.pid}.",
    )


async def _load(backend: Backend, role: Role) -> None:
    """Have a model that computes in this process say one token, so that it is in memory.

    Raises:
        BackendError: its weights cannot be read.
    """
    if not runs_in_process(backend.describe()):
        return
    word = "Hello"
    prompt = Prompt(
        example_id="load",
        inputs={field.name: word for field in role.inputs},
        messages=(Message(role="user", content=word),),
    )
    try:
        await answered(backend, Question(prompt=prompt, decoding=Decoding(max_tokens=1)))
    except BackendError as error:
        if error.gone:  # anything else is what one token cannot be: an answer
            raise


@contextlib.contextmanager
def _noted(note: Path, running: Running, warn: Callable[[str], None]) -> Iterator[None]:
    """The server stands in its note for as long as it runs."""
    try:
        leave(note, running)
    except DataError as error:
        warn(str(error))
    try:
        yield
    finally:
        take_away(note, running)


@contextlib.contextmanager
def _stopped_by_signals(answering: uvicorn.Server, endpoint: Endpoint) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the server; uvicorn's own handlers would raise them once more."""
    loop, before = asyncio.get_running_loop(), {}

    def stop(number: int, frame: Any) -> None:
        answering.handle_exit(number, frame)
        loop.call_soon_threadsafe(endpoint.stop)

    answering.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
