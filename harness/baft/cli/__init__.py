"""The command line: one file per command; here errors become messages and exit codes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from ..errors import BackendError, BaftError, Interrupted
from . import (
    ask,
    compare,
    decide,
    doctor,
    evaluate,
    history,
    init,
    optimize,
    plugins,
    promote,
    report,
    rollback,
    score,
    status,
    train,
)
from .common import Exit, State, state

if TYPE_CHECKING:
    import click

ANYWHERE = {"--project": 1, "--no-plugin": 1, "-v": 0, "--verbose": 0, "-q": 0, "--quiet": 0}
"""Options of every command, with the number of values they take; they may stand anywhere."""


class Commands(TyperGroup):
    """Our own commands, then those that plugins offer (loaded only when a name is not ours)."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        found = super().get_command(ctx, cmd_name)
        if found is not None or ctx.find_object(State) is None:
            return found
        loaded = state(ctx).plugins  # type: ignore[arg-type]
        if cmd_name not in loaded.names("commands"):
            return None
        made: Any = loaded.make("commands", cmd_name)
        extra = typer.Typer(add_completion=False)
        extra.command(cmd_name)(made)
        return typer.main.get_command(extra)


app = typer.Typer(
    name="baft",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Decides which model an agent pipeline should run.",
    epilog="Every command takes --project DIR, --no-plugin NAME, -v and -q.",
)
app.command("compare")(compare.compare)
app.command("eval")(evaluate.evaluate)
app.command("score")(score.score)
app.command("decide")(decide.decide)
app.command("report")(report.report)
app.command("train")(train.train)
app.command("optimize")(optimize.optimize)
app.command("promote")(promote.promote)
app.command("rollback")(rollback.rollback)
app.command("history")(history.history)
app.command("status")(status.status)
app.command("ask")(ask.ask)
app.command("init")(init.init)
app.command("plugins")(plugins.plugins)
app.command("doctor")(doctor.doctor)


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
    import click

    given = sys.argv[1:] if arguments is None else arguments
    try:
        code = app(to_front(given), standalone_mode=False)
    except BaftError as error:
        print(f"error: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"  {error.hint}", file=sys.stderr)
        code = _code(error)
    except (click.exceptions.Abort, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        code = Exit.INTERRUPTED
    except click.ClickException as error:
        error.show()
        code = Exit.USAGE
    except BrokenPipeError:  # the reader of our output has left: not an error of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = Exit.DONE
    sys.exit(int(code or 0))


def _code(error: BaftError) -> Exit:
    if isinstance(error, Interrupted):
        return Exit.INTERRUPTED
    return Exit.INCOMPLETE if isinstance(error, BackendError) else Exit.USAGE
