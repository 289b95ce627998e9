"""``baft promote``: put a run's winner in service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .common import State, state
from .completing import specs

if TYPE_CHECKING:
    from ..concluding import Outcome
    from ..promotion import Actor, Adoption


def promote(
    ctx: typer.Context,
    run: Annotated[Path, typer.Argument(help="Folder or id of a run.")],
    config: Annotated[Path | None, typer.Option(help="The pipeline's config.yaml.")] = None,
    as_: Annotated[
        str | None,
        typer.Option(
            "--as", metavar="SPEC", help="Servable model behind a replay.", autocompletion=specs
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Although the verdict is keep.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the diff.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the record.")] = False,
) -> None:
    """Adopt a run's winner in config.yaml: checked, backed up, recorded."""
    from .runs import find_run

    here = state(ctx)
    folder = find_run(here, run)
    done = _promote(here, folder, config, spec=as_, force=force, dry_run=dry_run)
    if json:
        servability = done.servability
        here.emit(
            {
                "promotion": _data(done.promotion),
                "servability": _data(servability),
                "diff": done.diff,
            },
            True,
        )
    elif dry_run:
        print(done.diff, end="")
        here.say("nothing was changed (--dry-run)")
    else:
        _show(done)


def adopt(here: State, outcome: Outcome, config: Path | None) -> None:
    """What ``baft compare --apply`` does with its outcome: promote, or say that nothing changes."""
    if outcome.decision.verdict == "keep":
        here.say("The verdict is keep: config.yaml stays as it is.")
        return
    folder = outcome.paths["report.json"].parent
    done = _promote(here, folder, config, spec=None, force=False, dry_run=False)
    here.say(_sentence(done))


def actor(here: State) -> Actor:
    """Who runs this command, where and when."""
    import getpass
    import socket
    from datetime import UTC, datetime

    from ..promotion import Actor

    try:
        who = getpass.getuser()
    except (OSError, KeyError):  # a container without a name for its user
        who = "unknown"
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return Actor(who=who, host=socket.gethostname(), date=date)


def _promote(
    here: State, run: Path, config: Path | None, *, spec: str | None, force: bool, dry_run: bool
) -> Adoption:
    from ..loader import tell
    from ..promotion import overrides, promote, read_config

    file = config or here.project / "config.yaml"
    if not dry_run:
        here.say("checking that the winner answers as it was measured …")
    done = promote(
        here.plugins,
        run=run,
        config=file,
        project=here.project,
        by=actor(here),
        env=here.env,
        spec=spec,
        force=force,
        dry_run=dry_run,
    )
    for sentence in overrides(read_config(file), done.service, here.env):
        here.warn(sentence)
    if done.promotion is not None:
        told = {"promotion": done.promotion, "env": here.env}
        tell(here.plugins, "baft_candidate_promoted", here.warn, **told)
    return done


def _show(done: Adoption) -> None:
    print(_sentence(done))
    print(done.diff, end="")


def _sentence(done: Adoption) -> str:
    role = done.service.role
    return f"{done.service.spec} now serves {role}; `baft rollback --role {role}` takes it back."


def _data(record: object) -> object:
    from ..store.codec import to_data

    return None if record is None else to_data(record)
