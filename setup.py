"""Puts the benchmarks, the data and the pocket model into the wheel, as ``baft/bundled/``.

Everything else about the build stands in pyproject.toml.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
BUNDLED = (
    "benchmarks/*.toml",
    "benchmarks/sample-config.yaml",
    "artifacts/synthetic/*.jsonl",
    "artifacts/synthetic/README.md",
    "artifacts/models/pocket/*",
    "artifacts/dspy/pocket_optimized/*",
    "artifacts/finetuning/pocket-ba-lora/*",
)


class BuildWithData(build_py):
    """Copies what ``baft compare pocket`` needs; an editable install finds it in the checkout."""

    def run(self) -> None:
        """Build as usual, then copy."""
        super().run()
        if self.editable_mode:
            return
        for pattern in BUNDLED:
            for path in sorted(ROOT.glob(pattern)):
                if path.is_file():
                    target = Path(self.build_lib) / "baft" / "bundled" / path.relative_to(ROOT)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, target)


setup(cmdclass={"build_py": BuildWithData})
