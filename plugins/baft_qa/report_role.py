"""The reporter: from code, its tests and what they printed to a report on its quality."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from baft import Example, Field, Message, Prediction, Prompt, example_id
from baft.parsing.briefs import flat
from baft.parsing.documents import as_yaml
from baft.parsing.fences import after_thoughts, sections
from baft.parsing.pieces import load, load_yaml, opening, pieces
from baft.parsing.rows import kind, loaded, mapping, required_text, row_id

if TYPE_CHECKING:
    from baft import Extraction, Generation, Validity

TASK = "You are a QA engineer. Report on the code after its tests were run."

INPUTS = (
    Field(name="story", description="the story that the code is for, as YAML"),
    Field(name="code", description="the source files"),
    Field(name="tests", description="the test files"),
    Field(name="test_output", description="what running the tests printed"),
)

OUTPUTS = (
    Field(
        name="test_summary",
        description="mapping with the numbers total, passed and failed",
    ),
    Field(
        name="defects",
        description="YAML list of the defects in the code, [] if there are none, each with id "
        "(D1, D2, ...), location (FILE:FUNCTION), severity (critical, high, medium or low) and "
        "description",
        kind="list",
    ),
    Field(
        name="recommendations",
        description="YAML list of what to do next, each with defect (the id of a defect, or none) "
        "and action",
        kind="list",
    ),
)

INSTRUCTION = f"{TASK}\n\nAnswer with one YAML document that has these keys:\n" + "\n".join(
    f"- {field.name}: {field.description}" for field in OUTPUTS
)
"""Shared by all examples and sent first, so that a backend can keep its prefix."""

NAMES = tuple(field.name for field in OUTPUTS)
_KINDS = {"test_summary": Mapping, "defects": list, "recommendations": list}
_OPENING = opening(NAMES)


class QualityReporter:
    """The role ``qa_report``."""

    name = "qa_report"
    task = TASK
    inputs: tuple[Field, ...] = INPUTS
    outputs: tuple[Field, ...] = OUTPUTS
    metric = "qa_report"
    answer_label = "yaml QA_REPORT"

    def example(self, row: Mapping[str, Any]) -> Example:
        """Read one line of a dataset.

        ``{"story", "code", "tests", "test_output", "report"}``, also apart under ``input`` and
        ``output``; the report is a mapping or YAML text and says what is really wrong with the
        code. Everything else becomes tags.

        Raises:
            ValueError: saying what is wrong with it.
        """
        tags = flat(row)
        given = tags.pop("id", None)
        inputs = {field.name: required_text(tags, field.name) for field in INPUTS}
        reference = None
        if tags.get("report") is not None:
            reference = _reference(tags["report"])
        taken = {*inputs, "report"}
        return Example(
            id=example_id(inputs) if given is None else row_id(given),
            inputs=inputs,
            reference=reference,
            tags={name: value for name, value in tags.items() if name not in taken},
        )

    def row(self, example: Example) -> dict[str, Any]:
        """The row ``{"input", "report"}`` and tags that is read as this example."""
        inputs, report = dict(example.inputs), example.reference
        return {**example.tags, "id": example.id, "input": inputs, "report": report}

    def prompt(self, example: Example) -> Prompt:
        """One user message; its head is the same for every example."""
        told = "\n\n".join(
            f"{field.description.capitalize()}:\n{example.inputs[field.name].strip()}"
            for field in INPUTS
        )
        return Prompt(
            example_id=example.id,
            inputs=example.inputs,
            messages=(Message(role="user", content=f"{INSTRUCTION}\n\n{told}"),),
        )

    def target(self, example: Example) -> str:
        """The reference as one YAML document.

        Raises:
            ValueError: the example has no reference.
        """
        if example.reference is None:
            raise ValueError(f"example {example.id} has no report to learn from")
        report = {name: example.reference[name] for name in NAMES if name in example.reference}
        return as_yaml(report)

    def parse(self, generation: Generation, extraction: Extraction) -> Prediction:
        """Read the report; ``lenient`` takes fences, thoughts and prose around it away.

        Nothing is mended: a report that does not parse gives no fields. A replayed object stays
        as it is.
        """
        if generation.fields is None:
            marked = {n: v for n, v in sections(generation.text).items() if n in NAMES}
            if not marked:
                return _document(generation.text, extraction)
            return _apart(marked, extraction)
        if generation.text:
            return _apart(generation.fields, extraction)
        validity = _checked(generation.fields, as_is=True).validity
        return Prediction(fields=dict(generation.fields), validity=validity)


def _document(text: str, extraction: Extraction) -> Prediction:
    data = load(text)
    if isinstance(data, Mapping) and any(name in data for name in NAMES):
        return _checked(data, as_is=True)
    if extraction == "strict":
        return Prediction(fields={}, validity="none")
    best: Mapping[str, Any] = {}
    answer = after_thoughts(text)
    for piece in (answer, *pieces(answer, _OPENING, "{}")):
        data = load(piece)
        own = _own(data) if isinstance(data, Mapping) else {}
        best = own if len(own) > len(best) else best
    return _checked(best, as_is=False)


def _apart(fields: Mapping[str, Any], extraction: Extraction) -> Prediction:
    """Fields that come one by one, each as YAML text or as it is meant to be."""
    values: dict[str, Any] = {}
    as_is = True
    for name in NAMES:
        value = fields.get(name)
        if isinstance(value, str):
            data = load_yaml(value)
            if not isinstance(data, _KINDS[name]) and extraction == "lenient":
                found = (load_yaml(piece) for piece in pieces(value, _OPENING, "[]"))
                data = next((one for one in found if isinstance(one, _KINDS[name])), None)
                as_is = False
            value = data
        if value is not None:
            values[name] = value
    return _checked(values, as_is=as_is)


def _own(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: data[name] for name in NAMES if data.get(name) is not None}


def _checked(data: Mapping[str, Any], *, as_is: bool) -> Prediction:
    own = _own(data)
    fitting = {name for name, value in own.items() if isinstance(value, _KINDS[name])}
    validity: Validity = "as_is" if as_is and fitting == {*own} else "extracted"
    return Prediction(fields=own, validity=validity if fitting else "none")


def _reference(report: Any) -> dict[str, Any]:
    report = mapping(loaded(report, "report") if isinstance(report, str) else report, "report")
    for name, wanted in _KINDS.items():
        if not isinstance(report.get(name), wanted):
            what = "a list" if wanted is list else "a mapping"
            raise ValueError(f"the report's {name} is {kind(report.get(name))}, not {what}")
    for number, defect in enumerate(report["defects"], start=1):
        mapping(defect, f"defect {number} of the report")
        required_text(defect, "location")
    return {name: report[name] for name in NAMES}
