"""The executor ``local``: servers are asked from here, models in a process of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UsageError
from ..hookspecs import hookimpl
from .asking import ask_here
from .isolated import IsolatedExecutor
from .worker import runs_in_process

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..protocols import Deliver, Executor, Register, Work


class LocalExecutor:
    """Asks on this machine."""

    def __init__(self, options: Mapping[str, str] | None = None) -> None:
        if options:
            raise UsageError(
                f"The executor local has no option {next(iter(options))!r}.", "Leave it out."
            )
        self._isolated = IsolatedExecutor()

    async def ask(self, work: Work, deliver: Deliver) -> None:
        """Ask the open backend, or the same model opened anew in a process of its own."""
        if runs_in_process(work.config):
            await self._isolated.ask(work, deliver)
        else:
            await self._isolated.close()  # a server on this machine needs the memory
            await ask_here(work.backend, work.prompts, work.decoding, work.limits, deliver)

    async def close(self) -> None:
        """End the other process."""
        await self._isolated.close()


@hookimpl
def baft_register_executors(register: Register[Executor]) -> None:
    """Offer ``local``."""
    register("local", LocalExecutor)
