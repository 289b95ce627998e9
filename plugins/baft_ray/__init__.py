"""The executor ``ray``: models asked on the nodes of a Ray cluster.

``RAY_ADDRESS`` names the cluster (``auto``, ``HOST:PORT``, ``ray://HOST:PORT``); without it a
local one is started for the run. ``--executor "ray?gpus=1&finetuned.memory=16G&actors=4"`` says
what each actor needs. Every node needs baft, its plugins and the models' files at the paths that
the specs name, from the folder where the run was started.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import baft

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .executor import RayExecutor


def _executor(options: Mapping[str, str]) -> RayExecutor:
    from .executor import RayExecutor

    return RayExecutor(options)


@baft.hookimpl
def baft_register_executors(register: baft.Register[baft.Executor]) -> None:
    """Offer ``ray``."""
    register("ray", _executor)
