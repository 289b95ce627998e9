"""Rows for the roles behind the business analyst, in the shapes that the pipeline writes."""

from __future__ import annotations

from typing import Any

REQUIREMENTS = """\
title: Orders for a village bakery
description: Regulars order bread until nine in the evening and collect it from seven.
functional_requirements:
- id: FR001
  description: Regulars choose loaves and a day of collection
  priority: High
- id: FR002
  description: The baker sees the loaves of the next morning in one list
  priority: High
non_functional_requirements:
- id: NFR001
  description: The page opens within two seconds on an old telephone
  priority: Medium
constraints:
- id: C001
  description: No payment before collection
  priority: High
"""

VISION = """\
product_name: Bread for tomorrow
product_summary: Regulars of a village bakery order their bread on the evening before and find it
  packed at seven; the baker bakes what was ordered and throws hardly anything away.
target_users:
- Regulars who shop before work
- The baker and her two helpers
value_proposition:
- No queue in the morning
- No loaves left over
key_capabilities:
- Ordering until nine in the evening
- One list for the night shift
non_goals:
- Delivery to the door
success_metrics:
- Loaves left over in a week
- Share of orders collected before eight
last_updated: "2025-03-01"
"""

REVIEW = """\
status: needs_adjustment
summary:
- The two functions carry the vision
- Nothing is said about loaves that nobody collects
requirements_alignment:
  aligned:
  - "FR001: ordering on the evening before is the heart of it"
  - "FR002: the list is what the night shift works from"
  - "NFR001: regulars order on the telephone they have"
  gaps:
  - What happens to bread that is not collected
  conflicts:
  - "C001: orders that are not paid for invite loaves left over"
recommended_actions:
- Add a requirement for orders that are not collected
- Decide whether regulars may pay in advance
narrative: The requirements fit the vision in what they ask for, but they leave open what becomes of
  bread that nobody collects, which is the very waste that the bakery wants to be rid of; C001 makes
  it likelier.
"""

STORIES = """\
- id: S1
  epic: E1
  title: Choose loaves and a day
  description: Regulars put loaves into an order and choose when to collect it.
  acceptance:
  - Loaves that are sold out cannot be chosen
  - Orders close at nine in the evening
  - An order can be changed until then
  priority: P1
  estimate: M
  status: todo
  depends_on: []
- id: S2
  epic: E1
  title: The list of the next morning
  description: The baker sees how many loaves of each kind were ordered.
  acceptance:
  - Loaves are added up over all orders
  - The list can be printed
  - It changes no more after nine
  priority: P2
  estimate: S
  status: todo
  depends_on:
  - S1
"""

EPICS = """\
- id: E1
  name: Ordering
  description: From the evening's order to the morning's list.
  stories:
  - S1
  - S2
"""

ARCHITECTURE = """\
backend:
  framework: Django
  services:
  - Orders
frontend:
  framework: htmx
  features:
  - Order form
data:
- SQLite
"""

CONCEPT = "A village bakery wants its regulars to order bread on the evening before."


def owner_row(**changes: Any) -> dict[str, Any]:
    """A product owner's row as the pipeline's synthetic data has it."""
    told = {"concept": CONCEPT, "requirements_yaml": REQUIREMENTS, "tier": "simple"}
    output = {"product_vision": VISION, "product_owner_review": REVIEW}
    return {"input": told, "output": output, "metadata": {"exit_code": 0}, "score": 0.9} | changes


def architect_row(**changes: Any) -> dict[str, Any]:
    """An architect's row as the pipeline's production data has it."""
    told = {
        "concept": CONCEPT,
        "requirements_yaml": REQUIREMENTS,
        "product_vision": VISION,
        "complexity_tier": "simple",
    }
    output = {"stories_yaml": STORIES, "epics_yaml": EPICS, "architecture_yaml": ARCHITECTURE}
    return {"input": told, "output": output, "metadata": {"score": 1.0}} | changes
