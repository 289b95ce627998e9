"""The tester: from one user story to test cases in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from baft import Example, Field, Message, Prediction, Prompt, example_id
from baft.parsing.briefs import flat
from baft.parsing.fences import after_thoughts, fenced, sections, unfenced
from baft.parsing.rows import kind, required_text, row_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from baft import Extraction, Generation, Validity

TASK = "You are a QA engineer. Write the test cases for the user story."

INPUTS = (
    Field(name="story_title", description="the title of the story"),
    Field(name="story_description", description="what the story is about"),
    Field(name="acceptance_criteria", description="what must hold for the story to be accepted"),
)

OUTPUTS = (
    Field(
        name="test_cases_md",
        description="Markdown with the headings '## Happy Path' and '## Unhappy Path'; each test "
        "case is numbered (1., 2., ...) and has short steps and an explicit expected result; at "
        "least one unhappy path covers invalid input, an outage or security",
    ),
)

INSTRUCTION = f"{TASK}\n\nAnswer with {OUTPUTS[0].description}."
"""Shared by all examples and sent first, so that a backend can keep its prefix."""

_LABELS = frozenset(("markdown", "md", "test_cases", "testcases", "markdown_test_cases"))


class TestCaseWriter:
    """The role ``qa``."""

    __test__ = False  # the name is no test's
    name = "qa"
    task = TASK
    inputs: tuple[Field, ...] = INPUTS
    outputs: tuple[Field, ...] = OUTPUTS
    metric = "qa_coverage"
    answer_label = "markdown TEST_CASES"

    def example(self, row: Mapping[str, Any]) -> Example:
        """Read one line of a dataset.

        ``{"story_title", "story_description", "acceptance_criteria", "test_cases_md"}``, also
        apart under ``input`` and ``output``; the criteria are a list or text. ``story_id`` serves
        as id. Without test cases there is no reference. Everything else becomes tags.

        Raises:
            ValueError: saying what is wrong with it.
        """
        tags = flat(row)
        given = tags.pop("id", tags.get("story_id"))
        inputs = {
            "story_title": required_text(tags, "story_title"),
            "story_description": required_text(tags, "story_description"),
            "acceptance_criteria": _criteria(tags.get("acceptance_criteria")),
        }
        reference = None
        if tags.get("test_cases_md") is not None:
            reference = {"test_cases_md": required_text(tags, "test_cases_md").strip()}
        taken = {*inputs, "test_cases_md"}
        return Example(
            id=example_id(inputs) if given is None else row_id(given),
            inputs=inputs,
            reference=reference,
            tags={name: value for name, value in tags.items() if name not in taken},
        )

    def fix(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The row with a code fence around its test cases taken off."""
        fixed = dict(row)
        if isinstance(row.get("output"), dict):
            fixed["output"] = self.fix(row["output"])
        if isinstance(row.get("test_cases_md"), str):
            fixed["test_cases_md"] = unfenced(row["test_cases_md"])
        return fixed

    def prompt(self, example: Example) -> Prompt:
        """One user message; its head is the same for every example."""
        told = example.inputs
        content = (
            f"{INSTRUCTION}\n\nStory: {told['story_title'].strip()}\n"
            f"{told['story_description'].strip()}\n\n"
            f"Acceptance criteria:\n{told['acceptance_criteria'].strip()}"
        )
        return Prompt(
            example_id=example.id,
            inputs=example.inputs,
            messages=(Message(role="user", content=content),),
        )

    def target(self, example: Example) -> str:
        """The reference's test cases, as they stand.

        Raises:
            ValueError: the example has no reference.
        """
        if example.reference is None:
            raise ValueError(f"example {example.id} has no test_cases_md to learn from")
        text: str = example.reference["test_cases_md"]
        return text

    def parse(self, generation: Generation, extraction: Extraction) -> Prediction:
        """Read the test cases; ``lenient`` takes thoughts and a fence around all of it away.

        Any text is Markdown: it parses as it stands unless there is something to take away. A
        replayed object stays as it is.
        """
        if generation.fields is not None and not generation.text:
            value = generation.fields.get("test_cases_md")
            is_text = isinstance(value, str) and bool(value.strip())
            return Prediction(
                fields=dict(generation.fields), validity="as_is" if is_text else "none"
            )
        text = generation.text
        if generation.fields is not None:
            text = str(generation.fields.get("test_cases_md") or "")
        whole = sections(text).get("test_cases_md", text).strip()
        inner = _inner(after_thoughts(whole)).strip()
        found = inner if extraction == "lenient" else whole
        if not found:
            return Prediction(fields={}, validity="none")
        validity: Validity = "as_is" if inner == whole else "extracted"
        return Prediction(fields={"test_cases_md": found}, validity=validity)


def _inner(text: str) -> str:
    """What stands in the fence that is labelled as test cases, or that is all of the text."""
    blocks = fenced(text)
    if len(blocks) == 1 and unfenced(text) != text:
        return unfenced(text)
    return next((body for label, body in blocks if label in _LABELS), text)


def _criteria(value: Any) -> str:
    """The acceptance criteria as text, a list as one line for each."""
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        value = "\n".join(f"- {one.strip()}" for one in value)
    if value is None:
        raise ValueError("the acceptance_criteria are missing")
    if not isinstance(value, str):
        raise ValueError(f"the acceptance_criteria are {kind(value)}, not text or a list of texts")
    if not value.strip():
        raise ValueError("the acceptance_criteria are empty")
    return value
