"""A role behind the business analyst: told concept and requirements, it answers with documents."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..records import Example, Message, Prompt, example_id
from .briefs import document_text, flat, heading, requirements_text, told
from .documents import DocumentReader, as_yaml
from .fences import unfenced
from .rows import kind, required_text, row_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..records import Extraction, Field, Generation, Prediction
    from .documents import Document


@dataclass(frozen=True, kw_only=True)
class DocumentRole:
    """A role made of its parts: what it is told, and the forms of its documents."""

    name: str
    task: str
    inputs: tuple[Field, ...]
    """``concept`` and ``requirements_yaml`` are always among them."""
    documents: tuple[Document, ...]
    metric: str
    defaults: Mapping[str, str] = field(default_factory=dict)
    """Inputs that a row may do without, with what they are then."""

    @cached_property
    def outputs(self) -> tuple[Field, ...]:
        """One field for each document."""
        return tuple(document.field for document in self.documents)

    @property
    def answer_label(self) -> str:
        """The first document's; each output names its own."""
        return self.documents[0].field.label

    @cached_property
    def instruction(self) -> str:
        """Shared by all examples and sent first, so that a backend can keep its prefix."""
        forms = {document.field.name: document.form for document in self.documents}
        many = (
            f"{len(forms)} fenced blocks, in this order," if len(forms) > 1 else "one fenced block"
        )
        return (
            f"{self.task}\n\nAnswer with {many} and nothing around it. What stands inside must be "
            "valid YAML: put quotes around text that holds a colon.\n\n"
            f"{self._reader.blocks(forms)}"
        )

    @cached_property
    def _reader(self) -> DocumentReader:
        return DocumentReader(self.documents)

    def example(self, row: Mapping[str, Any]) -> Example:
        """Read one line of a dataset, in any of the pipeline's shapes, see ``briefs``.

        Outputs may also be named ``teacher_…``, or stand in one ``response`` as labelled blocks.
        Without outputs there is no reference. Everything else becomes tags.

        Raises:
            ValueError: saying what is wrong with it.
        """
        found = self._row(row)
        inputs = {one.name: self._input(found, one.name) for one in self.inputs}
        reference = {
            document.field.name: document_text(
                found[document.field.name], document.field.name, document.shapes
            )
            for document in self.documents
            if found.get(document.field.name) is not None
        }
        missing = [name for name in self._reader.names if name not in reference]
        if reference and missing:
            raise ValueError(f"the outputs lack {', '.join(missing)}")
        given = found.get("id", found.get("concept_id"))
        read = {"id", "requirements", *inputs, *reference}
        return Example(
            id=example_id(inputs) if given is None else row_id(given),
            inputs=inputs,
            reference=reference or None,
            tags={key: value for key, value in found.items() if key not in read},
        )

    def fix(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The row with the code fences around its documents taken off; nothing is guessed."""
        names = {one.name for one in (*self.inputs, *self.outputs)}
        names |= {f"teacher_{name}" for name in names}

        def fixed(key: str, value: Any) -> Any:
            if key in ("input", "output") and isinstance(value, dict):
                return {inner: fixed(inner, one) for inner, one in value.items()}
            return unfenced(value) if key in names and isinstance(value, str) else value

        return {key: fixed(key, value) for key, value in row.items()}

    def prompt(self, example: Example) -> Prompt:
        """One user message: the instruction, then every input under its heading."""
        told = "\n\n".join(
            f"{heading(one.name)}:\n{example.inputs[one.name].strip() or '(none)'}"
            for one in self.inputs
        )
        message = Message(role="user", content=f"{self.instruction}\n\n{told}")
        return Prompt(example_id=example.id, inputs=example.inputs, messages=(message,))

    def target(self, example: Example) -> str:
        """The reference as labelled blocks: what models are trained to write, to the letter.

        Raises:
            ValueError: the example has no reference.
        """
        if example.reference is None:
            raise ValueError(f"example {example.id} has no documents to learn from")
        return self._reader.blocks(example.reference)

    def parse(self, generation: Generation, extraction: Extraction) -> Prediction:
        """Read the documents; see ``documents`` for what is taken away and for validity."""
        return self._reader.read(generation, extraction)

    def _row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The row with inputs and outputs under their own names, whatever shape it has."""
        found = flat(row)
        names = [one.name for one in self.inputs]
        for key in ("prompt", "concept"):
            if isinstance(found.get(key), str) and "requirements_yaml" not in found:
                above, inputs = told(found[key], names)
                if "requirements_yaml" in inputs:
                    found |= {"concept": above} | inputs
                    found.pop("prompt", None)
        if isinstance(found.get("response"), str):
            found |= self._reader.text(found.pop("response"), "lenient").fields
        for name in self._reader.names:
            if f"teacher_{name}" in found:
                found.setdefault(name, found.pop(f"teacher_{name}"))
        return found

    def _input(self, row: Mapping[str, Any], name: str) -> str:
        if name == "requirements_yaml":
            return requirements_text(row)
        if name not in self.defaults:
            return required_text(row, name)
        value = row.get(name)
        if value is None or value == "":
            return self.defaults[name]
        if isinstance(value, (dict, list)):
            return as_yaml(value)
        if not isinstance(value, str):
            raise ValueError(f"the {name} is {kind(value)}, not text")
        return value
