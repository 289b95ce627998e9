"""The business analyst: from a product concept to a requirements document."""

from __future__ import annotations

from baft import Field

TASK = "You are a business analyst. Write the business requirements for the concept."

INPUTS = (Field(name="concept", description="the product idea, in one or two sentences"),)

OUTPUTS = (
    Field(name="title", description="a clear, concise title of 10 to 100 characters"),
    Field(
        name="description",
        description="what the product does and for whom, in at least 100 characters",
    ),
    Field(
        name="functional_requirements",
        description="YAML list of at least 2 items with id (FR001, FR002, ...), description "
        "and priority (High, Medium or Low)",
        kind="list",
    ),
    Field(
        name="non_functional_requirements",
        description="YAML list of at least 2 items with id (NFR001, NFR002, ...), description "
        "and priority (High, Medium or Low)",
        kind="list",
    ),
    Field(
        name="constraints",
        description="YAML list of at least 2 items with id (C001, C002, ...), description "
        "and priority (High, Medium or Low)",
        kind="list",
    ),
)

INSTRUCTION = (
    f"{TASK}\n\nAnswer with one YAML document that has these keys:\n"
    + "\n".join(f"- {field.name}: {field.description}" for field in OUTPUTS)
)
"""Shared by all examples and sent first, so that a backend can keep its prefix."""


def render(concept: str) -> str:
    """The user message for one concept: the instruction, then the concept."""
    return f"{INSTRUCTION}\n\nConcept: {concept.strip()}"
