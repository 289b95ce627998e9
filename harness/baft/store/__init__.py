"""Disk: benchmarks and datasets in; runs, decisions and promotions out."""

from __future__ import annotations

from .benchmarks import Benchmark, find_benchmark
from .datasets import Dataset, read_dataset
from .files import file_sha256, write_atomic
from .reading import RunReader, Tally, read_manifest
from .runs import RunStore, new_run_id

__all__ = [
    "Benchmark",
    "Dataset",
    "RunReader",
    "RunStore",
    "Tally",
    "file_sha256",
    "find_benchmark",
    "new_run_id",
    "read_dataset",
    "read_manifest",
    "write_atomic",
]
