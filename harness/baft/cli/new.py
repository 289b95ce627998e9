"""``baft new plugin``: a small package whose tests pass, to start from."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from .common import state

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Start something new.")

TEMPLATES = Path(__file__).parent / "templates" / "plugin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What a plugin of one kind is made of."""

    hook: str
    """Its kind in the names of hooks."""
    protocol: str
    """What its factory makes, in ``baft``."""
    made: str
    """Name of what it makes, ``{}`` being the plugin's name as a class."""
    arguments: str = ""
    """Of the factory."""
    call: str = "()"
    """What stands behind the name in the factory."""
    modules: Mapping[str, str]
    """Template of each module beside ``__init__.py``."""
    usage: str
    """How it is used, ``{}`` being its name."""


KINDS: Mapping[str, Kind] = {
    "backend": Kind(
        hook="backends",
        protocol="Backend",
        made="{}Backend",
        arguments="target: str, context: baft.Context",
        call="(target)",
        modules={"backend": "backend.py.jinja"},
        usage="Use it: `baft eval --role ba --model {}:MODEL`.",
    ),
    "role": Kind(
        hook="roles",
        protocol="Role",
        made="{}",
        modules={"role": "role.py.jinja", "metric": "role_metric.py.jinja"},
        usage="Use it: `baft eval --role {} --dataset FILE.jsonl --model SPEC`.",
    ),
    "metric": Kind(
        hook="metrics",
        protocol="Metric",
        made="{}",
        modules={"metric": "metric.py.jinja"},
        usage="Use it: `baft compare pocket --metric {}`.",
    ),
    "trainer": Kind(
        hook="trainers",
        protocol="Trainer",
        made="{}Trainer",
        modules={"trainer": "trainer.py.jinja"},
        usage="Use it: `baft train --trainer {} --train FILE --val FILE --output DIR`.",
    ),
    "rule": Kind(
        hook="gate_rules",
        protocol="GateRule",
        made="{}",
        call="",
        modules={"rule": "rule.py.jinja"},
        usage="It judges every comparison from now on; `--no-plugin {}` leaves it out.",
    ),
    "reporter": Kind(
        hook="reporters",
        protocol="Reporter",
        made="{}Reporter",
        arguments="env: Mapping[str, str]",
        call="(env)",
        modules={"reporter": "reporter.py.jinja"},
        usage="It reports every comparison from now on; `--no-plugin {}` leaves it out.",
    ),
}
SAYS = {
    "backend": "turns prompts into generations",
    "role": "prompts for a job and reads the answer",
    "metric": "scores what was read",
    "trainer": "makes a model out of examples",
    "rule": "judges one candidate",
    "reporter": "writes a finished comparison",
}


@app.callback()
def new() -> None:
    """Start something new."""


@app.command("plugin")
def plugin(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Its name, such as shout.")],
    backend: Annotated[bool, typer.Option("--backend", help="Answers prompts.")] = False,
    role: Annotated[bool, typer.Option("--role", help="A job, and a metric for it.")] = False,
    metric: Annotated[bool, typer.Option("--metric", help="Scores answers.")] = False,
    trainer: Annotated[bool, typer.Option("--trainer", help="Makes models.")] = False,
    rule: Annotated[bool, typer.Option("--rule", help="One more rule for the gate.")] = False,
    reporter: Annotated[bool, typer.Option("--reporter", help="Writes reports.")] = False,
    output: Annotated[
        Path | None, typer.Option(help="Folder to make; default: baft-NAME in this one.")
    ] = None,
) -> None:
    """Write a plugin that works: a typed package with README, CI file and passing tests."""
    from ..errors import UsageError

    asked = {
        "backend": backend,
        "role": role,
        "metric": metric,
        "trainer": trainer,
        "rule": rule,
        "reporter": reporter,
    }
    kinds = [kind for kind, wanted in asked.items() if wanted]
    if len(kinds) != 1:
        raise UsageError(
            f"A new plugin is of one kind, not of {len(kinds)}.",
            f"Choose one of {', '.join(f'--{kind}' for kind in asked)}.",
        )
    named = re.sub(r"^baft[-_]", "", name).replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,19}", named) or keyword.iskeyword(named):
        raise UsageError(
            f"{name!r} cannot be the name of a plugin.",
            "Take up to 20 lower-case letters, digits and -, a letter first: shout, my-metric.",
        )
    taken = {info.name for info in state(ctx).plugins.infos}
    if named in taken:
        raise UsageError(
            f"There is a plugin named {named!r} already.",
            "Choose another name; `baft plugins` lists those that are taken.",
        )
    folder = output if output is not None else Path(f"baft-{named.replace('_', '-')}")
    for path in write_plugin(folder, named, kinds[0]):
        print(f"made  {path}")
    print(f'Next: cd {folder} && pip install -e ".[dev]" && pytest')


def write_plugin(folder: Path, name: str, kind: str) -> list[Path]:
    """Write the package of a plugin; returns its files.

    Raises:
        UsageError: there is something in ``folder`` already, or it cannot be written.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from ..errors import UsageError

    package, parts = f"baft_{name}", KINDS[kind]
    class_name = "".join(word.capitalize() for word in name.split("_"))
    values = {
        "name": name,
        "package": package,
        "kind": kind,
        "class": class_name,
        "hook": parts.hook,
        "protocol": parts.protocol,
        "module": kind,
        "made": name if kind == "rule" else parts.made.format(class_name),
        "arguments": parts.arguments,
        "call": parts.call,
        "modules": [(module, SAYS[module]) for module in parts.modules],
        "usage": parts.usage.format(name),
    }
    source = Path("src") / package
    files = {
        Path("pyproject.toml"): "pyproject.toml.jinja",
        Path("README.md"): "README.md.jinja",
        Path(".gitignore"): "gitignore.jinja",
        Path(".github/workflows/ci.yml"): "ci.yml.jinja",
        source / "__init__.py": "init.py.jinja",
        **{source / f"{module}.py": template for module, template in parts.modules.items()},
        Path("tests") / f"test_{name}.py": f"test_{kind}.py.jinja",
    }
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # source code, of names that were checked
    )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"There is something at {folder} already.", "Choose another --output.")
    texts = {path: environment.get_template(made).render(values) for path, made in files.items()}
    texts[source / "py.typed"] = ""
    try:
        for path, text in texts.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be written: {error.strerror}.", "Choose another --output."
        ) from error
    return [folder / path for path in texts]
