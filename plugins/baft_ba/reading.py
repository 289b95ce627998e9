"""From what a model wrote to output fields: a document, DSPy's field format, or nothing.

``strict`` takes the text, or each DSPy field, as it stands. ``lenient`` may take away what is not
the document: thoughts, prose, code fences and their labels, a wrapping key. Neither mends anything:
a document that does not parse gives no fields, a DSPy list that does not parse keeps its text.

Validity tells of the format, not of the content:

- ``as_is``: all of it parsed as it stood; the other setting then reads the very same prediction;
- ``extracted``: something was taken away, or some of the lists do not parse;
- ``none``: no field was found, or there are lists and none of them parses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from baft import Prediction
from baft.parsing.fences import after_thoughts, fenced, sections
from baft.parsing.pieces import BULLET, load, load_yaml, opening, pieces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from baft import Extraction, Field, Validity


class Reader:
    """Reads the output fields of one role."""

    def __init__(self, outputs: Sequence[Field]) -> None:
        self.names = tuple(field.name for field in outputs)
        self.lists = tuple(field.name for field in outputs if field.kind == "list")
        self._opening = opening(self.names)

    def text(self, text: str, extraction: Extraction) -> Prediction:
        """Read an answer that is text.

        The markers of DSPy's field format are looked for first; blanks inside them do not matter.
        """
        marked = self._own(sections(text))
        if marked:
            return self.fields(marked, extraction)
        data = load(text)
        own = self._own(data)
        if own or extraction == "strict":
            return self.fields(own, extraction)
        return self.fields(self._found(text, data), extraction, removed=True)

    def fields(
        self, fields: Mapping[str, Any], extraction: Extraction, *, removed: bool = False
    ) -> Prediction:
        """Read fields that are apart already; lists that are text become lists where they parse.

        Args:
            fields: Values by name; other names than the role's outputs are left out.
            extraction: Whether fences, labels and prose may be taken off a list that is text.
            removed: Something was taken away already.
        """
        values = self._own(fields)
        lists: set[Validity] = set()
        for name in self.lists:
            value = values.get(name)
            if value and isinstance(value, str):
                values[name], verdict = _read_list(name, value, extraction)
                lists.add(verdict)
            elif value:
                lists.add("as_is" if isinstance(value, list) else "none")
        if not values or lists == {"none"}:
            return Prediction(fields=values, validity="none")
        as_is = not removed and lists <= {"as_is"}
        return Prediction(fields=values, validity="as_is" if as_is else "extracted")

    def _own(self, data: Any) -> dict[str, Any]:
        """The output fields of a mapping; none of what is no mapping, or one entry of a list."""
        if not isinstance(data, Mapping):
            return {}
        own = {name: data[name] for name in self.names if data.get(name) is not None}
        return {} if own.keys() == {"description"} and "id" in data else own

    def _found(self, text: str, data: Any) -> dict[str, Any]:
        """The document inside a text that is ``data`` as it stands.

        The piece with the most fields wins, the first of equals. One field alone may be a line of
        prose or of a list's entry; ``_labelled`` knows if it is not.
        """
        answer = after_thoughts(text)
        best = self._unwrapped(data if answer == text else load(answer))
        for piece in pieces(answer, self._opening, "{}"):
            if len(best) == len(self.names):
                return best
            own = self._unwrapped(load(piece))
            if len(own) > max(len(best), 1):
                best = own
        return max(best, self._labelled(answer), key=len)

    def _unwrapped(self, data: Any) -> dict[str, Any]:
        """The fields of a mapping, or of the mapping under one of its keys."""
        own = self._own(data)
        if own or not isinstance(data, Mapping):
            return own
        inner = max((self._own(value) for value in data.values()), key=len, default={})
        return inner if len(inner) > 1 else {}

    def _labelled(self, text: str) -> dict[str, Any]:
        """Fenced blocks with a part of the fields each, by key, info string or line above."""
        parts: dict[str, Any] = {}
        for label, body in fenced(text):
            data = load(body)
            own = self._own(data)
            if not own and label in self.lists and isinstance(data, list):
                own = {label: data}
            elif not own and label in self.names and label not in self.lists:
                own = {label: body.strip()}
            if own.keys().isdisjoint(parts):
                parts.update(own)
        return parts


def _read_list(name: str, text: str, extraction: Extraction) -> tuple[Any, Validity]:
    """The list that the text of a field holds, else the text.

    An empty list stays text: the metric takes ``"[]"`` for present and ``[]`` for absent.
    """
    data = load_yaml(text)
    if isinstance(data, list):
        return data or text, "as_is"
    if extraction == "lenient":
        for piece in (None, *pieces(text, BULLET, "[]")):
            data = data if piece is None else load_yaml(piece)
            if isinstance(data, Mapping):
                data = data.get(name)
            if isinstance(data, list):
                return data or "[]", "extracted"
    return text, "none"
