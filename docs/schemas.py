"""Puts the published JSON Schemas beside the pages that speak of them; mkdocs.yml names it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

SCHEMAS = Path(__file__).parents[1] / "harness" / "baft" / "schemas"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add every schema as reference/schemas/NAME.json."""
    for path in sorted(SCHEMAS.glob("*.json")):
        files.append(
            File.generated(config, f"reference/schemas/{path.name}", abs_src_path=str(path))
        )
    return files
