"""The architect: from requirements to stories, epics and an architecture, at once or in stages."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from baft import Field
from baft.parsing.documents import Document
from baft.parsing.pieces import load_yaml
from baft.parsing.roles import DocumentRole

if TYPE_CHECKING:
    from baft import Example, Prediction

STORIES = """\
- id: S1, then S2, S3 and so on
  epic: id of its epic
  title: at most 100 characters
  description: at least 20 characters
  acceptance:
  - three or more criteria that can be checked
  priority: one of P1, P2, P3
  estimate: one of XS, S, M, L, XL
  status: todo
  depends_on:
  - id of a story that comes first
"""

EPICS = """\
- id: E1, then E2, E3 and so on
  name: what it is called
  description: what it achieves
  stories:
  - id of a story
"""

ARCHITECTURE = """\
backend:
  framework: its name
  services:
  - what it runs
frontend:
  framework: its name
  features:
  - what it shows
data:
- where data is kept
integrations:
- what it talks to
security:
- how it is protected
"""

STORIES_DOCUMENT = Document(
    field=Field(
        name="stories_yaml",
        description="YAML list of user stories with id (S1, S2, ...), epic, title, description, "
        "acceptance (list of 3 criteria or more), priority (P1, P2 or P3), estimate (XS, S, M, L "
        "or XL), status and depends_on (list of story ids)",
        label="yaml STORIES",
    ),
    form=STORIES,
    shapes=(list, dict),
)
EPICS_DOCUMENT = Document(
    field=Field(
        name="epics_yaml",
        description="YAML list of epics with id (E1, E2, ...), name, description and stories (list "
        "of story ids)",
        label="yaml EPICS",
    ),
    form=EPICS,
    shapes=(list,),
)
ARCHITECTURE_DOCUMENT = Document(
    field=Field(
        name="architecture_yaml",
        description="YAML mapping with backend and frontend (each a mapping with framework), data, "
        "integrations and security",
        label="yaml ARCHITECTURE",
    ),
    form=ARCHITECTURE,
    shapes=(dict,),
)

INPUTS = (
    Field(name="concept", description="the product idea, in one or two sentences"),
    Field(name="requirements_yaml", description="the requirements document, as YAML"),
    Field(
        name="product_vision",
        description="the product owner's vision, as YAML; empty where there is none",
    ),
    Field(name="complexity_tier", description="simple, medium or corporate"),
)
SEEDS = (
    Field(name="stories_yaml", description="the user stories, as YAML"),
    Field(name="epics_yaml", description="the epics, as YAML"),
)
DEFAULTS = {"product_vision": "", "complexity_tier": "medium"}


@dataclass(frozen=True, kw_only=True)
class Architect(DocumentRole):
    """The whole job, which the pipeline wants in five blocks."""

    def example(self, row: Mapping[str, Any]) -> Example:
        """As every role reads it; the tier, which the pipeline sends in capitals, in small letters.

        Raises:
            ValueError: saying what is wrong with it.
        """
        found = super().example(row)
        tier = found.inputs["complexity_tier"].lower()
        return replace(found, inputs={**found.inputs, "complexity_tier": tier})

    def pipeline_blocks(self, prediction: Prediction) -> dict[str, str | dict[str, Any]]:
        """The documents, and two more blocks without which the pipeline asks again.

        Its reader (``scripts/run_architect.py``, commit 910b23f) asks up to three times more where
        ``yaml PRD`` or ``csv TASKS`` is missing. They are drawn from the epics and the stories and
        add nothing to what was evaluated: a feature for each epic, a task for each story.
        """
        told = prediction.fields
        fields = [document.field for document in self.documents]
        blocks: dict[str, str | dict[str, Any]] = {
            field.label: str(told[field.name]) for field in fields if field.name in told
        }
        epics, stories = _items(told.get("epics_yaml")), _items(told.get("stories_yaml"))
        if epics:
            kept = ("name", "description", "priority")
            features = [{key: epic[key] for key in kept if key in epic} for epic in epics]
            blocks["yaml PRD"] = {"features": features}
        if stories:
            blocks["csv TASKS"] = _tasks(stories)
        return blocks


def _items(text: object) -> list[Mapping[str, Any]]:
    """The mappings in a list, or in a list under ``stories``."""
    found = load_yaml(text) if isinstance(text, str) else None
    if isinstance(found, Mapping):
        found = found.get("stories")
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def _tasks(stories: list[Mapping[str, Any]]) -> str:
    """One line for each story, on one line each."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(("story_id", "task_id", "description", "status"))
    for story in stories:
        what = story.get("title") or story.get("description") or ""
        table.writerow((story.get("id", ""), "T1", " ".join(str(what).split()), "todo"))
    return out.getvalue()


ROLES = {
    role.name: role
    for role in (
        Architect(
            name="architect",
            task=(
                "You are a software architect. Break the requirements down into user stories and "
                "epics, and lay out an architecture that carries them."
            ),
            inputs=INPUTS,
            documents=(STORIES_DOCUMENT, EPICS_DOCUMENT, ARCHITECTURE_DOCUMENT),
            metric="architect_v2",
            defaults=DEFAULTS,
        ),
        DocumentRole(
            name="architect_stories",
            task=(
                "You are a software architect. Break the requirements down into user stories and "
                "epics."
            ),
            inputs=INPUTS,
            documents=(STORIES_DOCUMENT, EPICS_DOCUMENT),
            metric="stories_epics",
            defaults=DEFAULTS,
        ),
        DocumentRole(
            name="architect_arch",
            task="You are a software architect. Lay out an architecture that carries the stories.",
            inputs=(*INPUTS, *SEEDS),
            documents=(ARCHITECTURE_DOCUMENT,),
            metric="architecture_only",
            defaults=DEFAULTS,
        ),
    )
}
"""The whole job, and the two stages that the pipeline optimizes one by one."""
