"""Answers made of whole YAML documents, each in a fenced block with a label of its own.

``strict`` takes the blocks as they were asked for and nothing around them, or each DSPy field, as
it stands. ``lenient`` may take away what is not the document: thoughts, prose, fences, labels, a
mapping around all documents; a block without its label is known by its keys. Neither mends
anything: a document that does not parse keeps its text, one of another shape is none.

Validity tells of the format, not of the content:

- ``as_is``: every document is there and parses as it stands; the other setting reads the same;
- ``extracted``: every document is there, once something was taken away;
- ``none``: a document is missing or does not parse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from ..records import Prediction
from .fences import after_thoughts, fenced, label, sections, unfenced
from .pieces import BULLET, load, load_yaml, opening, pieces

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..records import Extraction, Field, Generation, Validity


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One output that is a YAML document."""

    field: Field
    """Its name and label; the value is the document as text."""
    form: str
    """What it must look like: a YAML document that says in each place what belongs there."""
    shapes: tuple[type, ...]
    """What it may be once loaded: ``dict``, ``list``."""


class DocumentReader:
    """Reads and writes the documents of one role."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self.documents = tuple(documents)
        self.names = tuple(document.field.name for document in documents)
        self._keys = {
            document.field.name: _keys(load_yaml(document.form)) for document in documents
        }
        self._labels = {
            label(text): document.field.name
            for document in documents
            for text in (document.field.name, document.field.label)
        }

    def blocks(self, texts: Mapping[str, str]) -> str:
        """The documents as an answer has them: one labelled block each, in the role's order."""
        return "\n".join(
            f"```{document.field.label}\n{texts[document.field.name].rstrip()}\n```"
            for document in self.documents
            if document.field.name in texts
        )

    def read(self, generation: Generation, extraction: Extraction) -> Prediction:
        """Read a generation.

        One with fields and text comes from DSPy: its fields are read one by one. One with fields
        and no text is a replayed object: its fields are the prediction, untouched.
        """
        if generation.fields is None:
            return self.text(generation.text, extraction)
        if generation.text:
            return self.fields(generation.fields, extraction)
        validity = self.fields(generation.fields, "strict").validity
        return Prediction(fields=dict(generation.fields), validity=validity)

    def text(self, text: str, extraction: Extraction) -> Prediction:
        """Read an answer that is text: DSPy's marked sections, else labelled blocks."""
        marked = {name: part for name, part in sections(text).items() if name in self.names}
        if marked:
            return self.fields(marked, extraction)
        found = self._labelled(text)
        exact = bool(found) and self.blocks(found).split() == text.split()
        if not exact:
            found = self._found(after_thoughts(text)) if extraction == "lenient" else {}
        return self.fields(found, extraction, removed=not exact)

    def fields(
        self, fields: Mapping[str, Any], extraction: Extraction, *, removed: bool = False
    ) -> Prediction:
        """Read documents that are apart already.

        Args:
            fields: Texts by name; other names than the role's outputs are left out.
            extraction: Whether fences, labels and prose may be taken off a text.
            removed: Something was taken away already.
        """
        values: dict[str, Any] = {}
        verdicts: set[Validity] = {"extracted"} if removed else set()
        for document in self.documents:
            name = document.field.name
            values[name], verdict = self._read(document, fields.get(name), extraction)
            verdicts.add(verdict)
        values = {name: value for name, value in values.items() if value is not None}
        worst: Sequence[Validity] = ("none", "extracted", "as_is")
        return Prediction(fields=values, validity=next(v for v in worst if v in verdicts))

    def _labelled(self, text: str) -> dict[str, str]:
        """The block of each label, the first that is the document in its shape."""
        found: dict[str, str] = {}
        fits: set[str] = set()
        shapes = {document.field.name: document.shapes for document in self.documents}
        for title, body in fenced(text):
            name = self._labels.get(title)
            if name is None or name in fits:
                continue
            if isinstance(load_yaml(body), shapes[name]):
                fits.add(name)
            elif name in found:
                continue
            found[name] = body.strip("\n")
        return found

    def _found(self, answer: str) -> dict[str, str]:
        """The documents of an answer that is not what was asked for, as far as they can be told."""
        for text in (answer, *(body for _, body in fenced(answer))):
            wrapped = self._wrapped(load(text))
            if wrapped:
                return wrapped
        found = self._labelled(answer)
        for document in self.documents:
            name = document.field.name
            if name not in found:
                for piece in self._pieces(document, answer):
                    if self._whose(load_yaml(piece)) == name:
                        found[name] = piece.strip("\n")
                        break
        return found

    def _wrapped(self, data: Any) -> dict[str, str]:
        """The documents under the keys of one mapping, written out where they are no text."""
        if not isinstance(data, Mapping):
            return {}
        found = {
            self._labels[label(str(key))]: value if isinstance(value, str) else as_yaml(value)
            for key, value in data.items()
            if label(str(key)) in self._labels
        }
        return found if len(found) > 1 or len(found) == len(data) else {}

    def _whose(self, data: Any) -> str | None:
        """The document whose keys these are, by the share that is common, at least two."""
        given = _keys(data)
        likely = [
            (len(given & keys) / len(given | keys), document.field.name)
            for document in self.documents
            if isinstance(data, document.shapes)
            and len(given & (keys := self._keys[document.field.name])) >= 2
        ]
        return max(likely)[1] if likely else None

    def _pieces(self, document: Document, text: str) -> Iterator[str]:
        """Parts of the text that may be the document, likeliest first."""
        if dict in document.shapes:
            yield from pieces(text, opening(sorted(self._keys[document.field.name])), "{}")
        if list in document.shapes:
            yield from pieces(text, BULLET, "[]")

    def _read(self, document: Document, value: Any, extraction: Extraction) -> tuple[Any, Validity]:
        """The document that a value holds, else its text; None for what is something else."""
        if not isinstance(value, str):
            return value, "none"
        data = load_yaml(value)
        if isinstance(data, document.shapes):
            return value, "as_is"
        if extraction == "lenient":
            for piece in self._pieces(document, value):
                if isinstance(load_yaml(piece), document.shapes):
                    return piece.strip("\n"), "extracted"
        elif isinstance(load_yaml(unfenced(value)), document.shapes):
            return value, "extracted"  # the pipeline's own scoring removes such fences as well
        return (value if data is None else None), "none"


def as_yaml(value: Any) -> str:
    """A value as a YAML document: keys in their order, each scalar on one line, text unescaped."""
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=10**9).strip("\n")


def _keys(data: Any) -> frozenset[str]:
    """The keys of a mapping, or of the first entry of a list."""
    if isinstance(data, list):
        data = data[0] if data else None
    return frozenset(map(str, data)) if isinstance(data, Mapping) else frozenset()
