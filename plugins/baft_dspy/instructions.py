"""Instructions worth trying for any role, made from its fields without asking a model.

Small models write poor instructions; what they lack is usually a requirement said once more, close
to the task. So the candidates restate what the role already asks for, in three clauses:

- *requirements*: every output field with its description;
- *plain*: lists as YAML that parses, with no fences and nothing around it;
- *complete*: all fields, none left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from baft import Role


def candidates(role: Role) -> list[str]:
    """The role's task with the clauses added, all together first, then in parts.

    >>> from types import SimpleNamespace as S
    >>> field = S(name="title", description="a short title", kind="text")
    >>> print(candidates(S(task="Name it.", outputs=(field,)))[0])
    Name it.
    What each field must be:
    - title: a short title
    Fill every field: title. Leave none out and leave none empty.
    """
    wanted = (f"- {field.name}: {field.description}" for field in role.outputs)
    requirements = "\n".join(("What each field must be:", *wanted))
    names = [field.name for field in role.outputs]
    complete = f"Fill every field: {_listed(names)}. Leave none out and leave none empty."
    lists = [field.name for field in role.outputs if field.kind == "list"]
    plain = (
        f"Write {_listed(lists)} as plain YAML lists that parse, every item with all its keys, "
        "with no code fences, no Markdown and no text around them."
        if lists
        else ""
    )
    chosen = (
        (requirements, plain, complete),
        (requirements,),
        (plain, complete),
        (requirements, plain),
        (requirements, complete),
        (plain,),
        (complete,),
    )
    texts = ("\n".join((role.task, *filter(None, clauses))) for clauses in chosen)
    return [text for text in dict.fromkeys(texts) if text != role.task]


def read(path: Path) -> list[str]:
    """Instructions of a text file, separated by lines that hold only ``---``."""
    blocks: list[list[str]] = [[]]
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip() == "---":
            blocks.append([])
        else:
            blocks[-1].append(line)
    texts = ("\n".join(block).strip() for block in blocks)
    return [text for text in texts if text]


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)
