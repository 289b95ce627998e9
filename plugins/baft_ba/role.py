"""The business analyst: from a product concept to a requirements document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml

from baft import Example, Field, Message, Prediction, Prompt, example_id
from baft.parsing.rows import kind, loaded, mapping, required_text, row_id

from .fixing import fix_row
from .metric import ITEM
from .reading import Reader

if TYPE_CHECKING:
    from baft import Extraction, Generation

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

INSTRUCTION = f"{TASK}\n\nAnswer with one YAML document that has these keys:\n" + "\n".join(
    f"- {field.name}: {field.description}" for field in OUTPUTS
)
"""Shared by all examples and sent first, so that a backend can keep its prefix."""


def render(concept: str) -> str:
    """The user message for one concept: the instruction, then the concept."""
    return f"{INSTRUCTION}\n\nConcept: {concept.strip()}"


class BusinessAnalyst:
    """The role ``ba``."""

    name = "ba"
    task = TASK
    inputs: tuple[Field, ...] = INPUTS
    outputs: tuple[Field, ...] = OUTPUTS
    metric = "ba_requirements"
    answer_label = "yaml REQUIREMENTS"

    def __init__(self) -> None:
        self._reader = Reader(OUTPUTS)

    def example(self, row: Mapping[str, Any]) -> Example:
        """Read one line of a dataset.

        ``{"concept", "requirements"}`` is the shape to write; ``{"input": {"concept",
        "requirements_yaml"}}`` is read too, and lists may be YAML text in either. Without
        requirements there is no reference. Everything else becomes tags.

        Raises:
            ValueError: saying what is wrong with it.
        """
        tags = dict(row)
        given = tags.pop("id", None)
        if "concept" not in row and "input" in row:
            tags |= mapping(tags.pop("input"), "input")
        requirements = tags.pop("requirements", None)
        if requirements is None and "requirements_yaml" in tags:
            requirements = loaded(tags.pop("requirements_yaml"), "requirements_yaml")
        concept = required_text(tags, "concept")
        del tags["concept"]
        reference = None
        if requirements is not None:
            reference = _reference(requirements)
            others = {key: value for key, value in requirements.items() if key not in reference}
            if others:
                tags["requirements"] = others
        inputs = {"concept": concept}
        return Example(
            id=example_id(inputs) if given is None else row_id(given),
            inputs=inputs,
            reference=reference,
            tags=tags,
        )

    def fix(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The row with its form repaired, see ``fixing``."""
        return fix_row(row)

    def row(self, example: Example) -> dict[str, Any]:
        """The row ``{"concept", "requirements"}`` and tags that is read as this example."""
        tags = dict(example.tags)
        requirements = {**(example.reference or {}), **tags.pop("requirements", {})}
        own = {} if example.id == example_id(example.inputs) else {"id": example.id}
        return {**own, **example.inputs, "requirements": requirements, **tags}

    def prompt(self, example: Example) -> Prompt:
        """One user message; its head is the same for every example."""
        content = render(example.inputs["concept"])
        return Prompt(
            example_id=example.id,
            inputs=example.inputs,
            messages=(Message(role="user", content=content),),
        )

    def target(self, example: Example) -> str:
        """The reference as one YAML document: what models are trained to write, to the letter.

        Keys and items in the order of the outputs, each scalar on one line, text unescaped, no
        newline at the end.

        Raises:
            ValueError: the example has no reference.
        """
        if example.reference is None:
            raise ValueError(f"example {example.id} has no requirements to learn from")
        document: dict[str, Any] = {}
        for field in OUTPUTS:
            if field.name in example.reference:
                value = example.reference[field.name]
                if field.kind == "list":
                    value = [{key: item[key] for key in ITEM if key in item} for item in value]
                document[field.name] = value
        text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=10**9)
        return text.removesuffix("\n")

    def parse(self, generation: Generation, extraction: Extraction) -> Prediction:
        """Read the output fields; see ``reading`` for what is taken away and for validity.

        A generation with fields and text comes from DSPy: its fields are read one by one. One with
        fields and no text is a replayed object: its fields are the prediction, untouched.

        Where the validity is ``as_is``, both settings give the same prediction, so whoever wants
        both needs to ask only once.
        """
        if generation.fields is None:
            return self._reader.text(generation.text, extraction)
        if generation.text:
            return self._reader.fields(generation.fields, extraction)
        validity = self._reader.fields(generation.fields, "strict").validity
        return Prediction(fields=dict(generation.fields), validity=validity)


def _reference(requirements: Any) -> dict[str, Any]:
    """The output fields of the requirements, their lists as lists of mappings."""
    requirements = mapping(requirements, "requirements")
    reference: dict[str, Any] = {}
    for field in OUTPUTS:
        if field.name in requirements:
            value = requirements[field.name]
            reference[field.name] = _list(field, value) if field.kind == "list" else value
            if field.kind == "text" and not isinstance(value, str):
                raise ValueError(f"{field.name} is {kind(value)}, not text")
    if not reference:
        keys = ", ".join(map(str, requirements)) or "nothing"
        raise ValueError(f"requirements holds {keys}, but none of the fields of a document")
    return reference


def _list(field: Field, value: Any) -> list[Any]:
    if isinstance(value, str):
        value = loaded(value, field.name)
    if not isinstance(value, list):
        raise ValueError(f"{field.name} is {kind(value)}, not a list")
    for number, item in enumerate(value, start=1):
        if not isinstance(item, Mapping):
            raise ValueError(f"item {number} of {field.name} is {kind(item)}, not a mapping")
    return value
