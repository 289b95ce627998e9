"""The command line: one file per command; here errors become messages and exit codes."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from ..errors import BackendError, BaftError, Interrupted
from .common import Exit, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ANYWHERE = {"--project": 1, "--no-plugin": 1, "-v": 0, "--verbose": 0, "-q": 0, "--quiet": 0}
"""Options of every command, with the number of values they take; they may stand anywhere."""


COMMANDS = {
    "compare": "compare:compare",
    "eval": "evaluate:evaluate",
    "score": "score:score",
    "decide": "decide:decide",
    "diff": "diff:diff",
    "report": "report:report",
    "view": "view:view",
    "train": "train:train",
    "optimize": "optimize:optimize",
    "export": "export:export",
    "promote": "promote:promote",
    "rollback": "rollback:rollback",
    "history": "history:history",
    "status": "status:status",
    "ask": "ask:ask",
    "serve": "serve:serve",
    "init": "init:init",
    "plugins": "plugins:plugins",
    "doctor": "doctor:app",
    "data": "data:app",
    "cache": "cache:app",
    "new": "new:app",
}
"""Where each command stands: a module here and the name in it."""


@cache
def _command(name: str) -> Any:
    module, _, attribute = COMMANDS[name].partition(":")
    return _made(name, getattr(import_module(f".{module}", __package__), attribute))


def _made(name: str, found: typer.Typer | Callable[..., Any]) -> Any:
    """The command that a Typer or a function stands for."""
    if not isinstance(found, typer.Typer):
        function, found = found, typer.Typer(add_completion=False)
        found.command(name)(function)
    command = typer.main.get_command(found)
    command.name = name
    return command


class _Own(Mapping[str, Any]):
    """Our own commands by name; each is imported when it is looked at."""

    def __getitem__(self, name: str) -> Any:
        if name not in COMMANDS:
            raise KeyError(name)
        return _command(name)

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class Commands(TyperGroup):
    """Our own commands, then those that plugins offer; each is loaded when it is asked for."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.commands: Any = _Own()

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of our own."""
        return list(self.commands)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name; None where nobody offers it."""
        found = super().get_command(ctx, cmd_name)
        if found is not None:
            return found
        plugins = State(blocked=tuple(ctx.params.get("no_plugin") or ())).plugins
        if cmd_name not in plugins.names("commands"):
            return None
        return _made(cmd_name, plugins.make("commands", cmd_name))


app = typer.Typer(
    name="baft",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Decides which model an agent pipeline should run.",
    epilog="Every command takes --project DIR, --no-plugin NAME, -v and -q.",
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"baft {version('baft')}")
        raise typer.Exit


@app.callback()
def options(
    ctx: typer.Context,
    project: Annotated[
        Path | None, typer.Option(help="The project's folder; default: the nearest parent.")
    ] = None,
    no_plugin: Annotated[
        list[str] | None, typer.Option(help="Leave a plugin out, by name.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only what matters.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Decides which model an agent pipeline should run."""
    ctx.obj = State(
        project_option=project,
        blocked=tuple(no_plugin or ()),
        verbose=verbose,
        quiet=quiet,
        env=dict(os.environ),
    )


def to_front(arguments: list[str]) -> list[str]:
    """The arguments with the options that may stand anywhere moved before the command.

    >>> to_front(["compare", "pocket", "-q", "--project", "x"])
    ['-q', '--project', 'x', 'compare', 'pocket']
    """
    front: list[str] = []
    rest: list[str] = []
    waiting = list(arguments)
    while waiting:
        argument = waiting.pop(0)
        if argument == "--":
            rest += [argument, *waiting]
            break
        name = argument.split("=")[0]
        if name in ANYWHERE:
            front.append(argument)
            if "=" not in argument and ANYWHERE[name] and waiting:
                front.append(waiting.pop(0))
        else:
            rest.append(argument)
    return front + rest


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit with its code; a bug keeps its traceback and exits with 1."""
    given = sys.argv[1:] if arguments is None else arguments
    # Spinning threads of a local model starve one another where cores are shared: 30 times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("DO_NOT_TRACK", "true")  # MLflow and others report their use otherwise
    # What libraries make as they are imported stays to the end; looking through it 700 new objects
    # after 700 took a tenth of a run's CPU.
    gc.set_threshold(10_000)
    try:
        try:
            app(to_front(given))
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough; nothing is left to flush at the exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(Exit.DONE)
    except SystemExit:
        if type(sys.stdout).__name__ == "PacifyFlushWrapper":  # Typer saw the same, earlier
            sys.exit(Exit.DONE)
        raise
    except BaftError as error:
        print(f"error: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"  {error.hint}", file=sys.stderr)
        sys.exit(_code(error))


def _code(error: BaftError) -> Exit:
    if isinstance(error, Interrupted):
        return Exit.INTERRUPTED
    return Exit.INCOMPLETE if isinstance(error, BackendError) else Exit.USAGE
