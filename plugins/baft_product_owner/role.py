"""The product owner: from requirements to a product vision, and a review of how they fit it."""

from __future__ import annotations

from baft import Field
from baft.parsing.documents import Document
from baft.parsing.roles import DocumentRole

VISION = """\
product_name: a short name
product_summary: one paragraph of at least 120 characters
target_users:
- two or more groups of people
value_proposition:
- two or more outcomes for them
key_capabilities:
- two or more things the product does
non_goals:
- what it leaves out
success_metrics:
- two or more measures
last_updated: "date in ISO format, in quotes"
"""

REVIEW = """\
status: one of aligned, needs_adjustment, misaligned
summary:
- two or more observations
requirements_alignment:
  aligned:
  - id of a requirement that fits the vision, and why
  gaps:
  - what is missing
  conflicts:
  - id of a requirement that contradicts the vision, and why
recommended_actions:
- two or more actions, each beginning with a verb
narrative: one paragraph of at least 160 characters
"""

PRODUCT_OWNER = DocumentRole(
    name="product_owner",
    task=(
        "You are a product owner. Write the product vision for the concept, or bring the existing "
        "one up to date, and review how the requirements fit it."
    ),
    inputs=(
        Field(name="concept", description="the product idea, in one or two sentences"),
        Field(name="requirements_yaml", description="the requirements document, as YAML"),
        Field(
            name="existing_vision",
            description="the product vision so far, as YAML; empty where there is none",
        ),
    ),
    documents=(
        Document(
            field=Field(
                name="product_vision",
                description="YAML mapping with product_name, product_summary (at least 120 "
                "characters), the lists target_users, value_proposition, key_capabilities, "
                "non_goals and success_metrics (2 items or more each), and last_updated (ISO "
                "date in quotes)",
                label="yaml VISION",
            ),
            form=VISION,
            shapes=(dict,),
        ),
        Document(
            field=Field(
                name="product_owner_review",
                description="YAML mapping with status (aligned, needs_adjustment or misaligned), "
                "summary (list of 2 items or more), requirements_alignment (mapping with the "
                "lists aligned, gaps and conflicts, whose items name requirement ids), "
                "recommended_actions (list of 2 items or more) and narrative (at least 160 "
                "characters)",
                label="yaml REVIEW",
            ),
            form=REVIEW,
            shapes=(dict,),
        ),
    ),
    metric="product_owner",
    defaults={"existing_vision": ""},
)
