"""A run as a table, one line for each arm, example and repeat: CSV and Parquet.

CSV is opened by spreadsheets, which run cells that look like formulas, so such text gets a quote
before it (OWASP, "CSV Injection") and what cannot be seen is named. Parquet keeps every word.
"""

from __future__ import annotations

import csv
import json
import re
from itertools import islice
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ..store.files import write_atomic_with
from .text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import TextIO

    from ..records import Manifest
    from ..store import RunStore

FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]|[\t\r\n]")
"""How text begins that a spreadsheet may run."""

BLOCK = 1_000
"""Lines that are in memory at a time."""

TEXTS = ("run", "arm", "example", "inputs", "tags", "validity", "failure", "finish_reason", "text")
WHOLE = ("repeat", "prompt_tokens", "completion_tokens")


def table_columns(manifest: Manifest) -> list[str]:
    """The columns, in order; one for each component of the metric."""
    parts = [f"component.{name}" for name in manifest.component_max]
    return [
        *("run", "arm", "example", "repeat", "inputs", "tags", "score", "other_score"),
        *parts,
        *("validity", "failure", "finish_reason", "latency_s"),
        *("prompt_tokens", "completion_tokens", "text"),
    ]


def table_rows(store: RunStore) -> Iterator[dict[str, Any]]:
    """One line for each result, by column; what is unknown is None."""
    manifest = store.manifest()
    for arm in manifest.arms:
        examples = iter(store.examples())
        example = next(examples, None)
        for scored in store.results(arm.name):
            while example is not None and example.id != scored.example_id:
                example = next(examples)
            components = scored.score.components if scored.score else {}
            generation, failure = scored.generation, scored.failure
            yield {
                "run": manifest.run_id,
                "arm": arm.name,
                "example": scored.example_id,
                "repeat": scored.repeat,
                "inputs": _json(example.inputs if example else {}),
                "tags": _json(example.tags if example else {}),
                "score": scored.score.value if scored.score else None,
                "other_score": scored.other_score,
                **{f"component.{part}": components.get(part) for part in manifest.component_max},
                "validity": scored.prediction.validity if scored.prediction else None,
                "failure": f"{failure.stage}: {failure.reason}" if failure else None,
                "finish_reason": generation.finish_reason if generation else None,
                "latency_s": generation.latency_s if generation else None,
                "prompt_tokens": generation.prompt_tokens if generation else None,
                "completion_tokens": generation.completion_tokens if generation else None,
                "text": generation.text if generation else None,
            }


def write_csv(store: RunStore, stream: TextIO) -> None:
    """The table as CSV (RFC 4180 quoting, UTF-8), line by line."""
    columns = table_columns(store.manifest())
    lines = csv.DictWriter(stream, columns, lineterminator="\n")
    lines.writeheader()
    for row in table_rows(store):
        lines.writerow({name: _cell(value) for name, value in row.items()})


def export_csv(store: RunStore, path: Path) -> Path:
    """The table as a CSV file, written whole or not at all.

    Raises:
        DataError: it cannot be written.
    """
    write_atomic_with(path, lambda stream: write_csv(store, stream))
    return path


def export_parquet(store: RunStore, path: Path) -> Path:
    """The table as a Parquet file, written whole or not at all.

    Raises:
        UsageError: pyarrow is not installed.
        DataError: it cannot be written.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError(
            "Writing Parquet needs pyarrow.", 'Install it by: pip install "baft[parquet]"'
        ) from error
    kinds = {
        **dict.fromkeys(TEXTS, pyarrow.string()),
        **dict.fromkeys(WHOLE, pyarrow.int64()),
    }
    columns = table_columns(store.manifest())
    schema = pyarrow.schema([(name, kinds.get(name, pyarrow.float64())) for name in columns])
    rows = table_rows(store)

    def write(stream: TextIO) -> None:
        with pyarrow.parquet.ParquetWriter(stream.buffer, schema, compression="zstd") as out:
            while block := [_storable(row) for row in islice(rows, BLOCK)]:
                out.write_table(pyarrow.Table.from_pylist(block, schema))

    write_atomic_with(path, write)
    return path


def _cell(value: Any) -> Any:
    r"""A value of a CSV cell: numbers as they are, text harmless.

    >>> _cell("=1+1"), _cell(-0.5), _cell("a\x00b")
    ("'=1+1", -0.5, 'a⟨U+0000⟩b')
    """
    if not isinstance(value, str):
        return value
    text = visible(value)
    return f"'{text}" if FORMULA.match(value) or FORMULA.match(text) else text


def _storable(row: dict[str, Any]) -> dict[str, Any]:
    """Text without the lone surrogates that UTF-8 has no word for."""
    texts = {name: value for name, value in row.items() if isinstance(value, str)}
    return row | {
        name: text.encode("utf-8", "backslashreplace").decode() for name, text in texts.items()
    }


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
