"""A circuit breaker: when requests fail in a row, one probe decides whether the server is gone.

What failed meanwhile is held: if the server comes back it is asked again, if not it stays
unanswered, for ``--resume``. M. Nygard, Release It! (2007), section 5.2, describes the pattern.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING

from ..errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..protocols import Deliver, Outcome
    from ..records import Prompt

log = logging.getLogger(__name__)

IN_A_ROW = 5
"""So many prompts, at least, must fail with all their tries and nothing be answered between."""

PAUSE = 20.0
"""The pause before the probe, in first pauses between tries: 10 s where that is 0.5 s."""

OUTAGES = 5
"""So often may a server come back; then its arm is given up."""


class ArmGone(BackendError):
    """The backend stopped answering at all; the arm is unfinished and can be resumed."""


class Breaker:
    """What all workers of an arm know of its server.

    Args:
        width: how many workers there are.
        pause_s: seconds before the probe.
        probe: asks one prompt once; raises what went wrong.
        deliver: told of failures and of what a probe was answered.
    """

    def __init__(
        self,
        width: int,
        pause_s: float,
        probe: Callable[[Prompt], Awaitable[Outcome]],
        deliver: Deliver,
    ) -> None:
        self.again: deque[Prompt] = deque()
        """What failed while the server was away and is to be asked anew."""
        self._most = max(IN_A_ROW, width)
        self._pause_s = pause_s
        self._probe = probe
        self._deliver = deliver
        self._held: dict[str, tuple[Prompt, Outcome]] = {}
        self._outages = 0
        self._open = asyncio.Lock()

    async def answered(self) -> None:
        """A prompt was answered: what failed before it has failed for its own reasons."""
        if not self._held:
            return
        if self._open.locked():  # it came back by itself
            self._ask_again()
        else:
            await self.flush()

    async def lost(self, prompt: Prompt, outcome: Outcome, problem: BackendError) -> None:
        """A prompt failed with all its tries, for a reason that may pass.

        Raises:
            ArmGone: the probe failed too.
        """
        self._held[prompt.example_id] = (prompt, outcome)
        if not problem.gone and len(self._held) < self._most:
            return
        async with self._open:  # one probes; the others wait for what it finds
            if prompt.example_id not in self._held:
                return
            log.warning(
                "%d in a row failed, one more try in %g s: %s",
                *(len(self._held), self._pause_s, problem.message),
            )
            await asyncio.sleep(self._pause_s)
            if prompt.example_id not in self._held:
                return
            answer = await self._probed(prompt, problem)
            del self._held[prompt.example_id]
            self._ask_again()
            await self._deliver(answer)

    async def flush(self) -> None:
        """Deliver the failures that are held."""
        held, self._held = self._held, {}
        for _, outcome in held.values():
            await self._deliver(outcome)

    def _ask_again(self) -> None:
        self._outages += 1
        self.again += (prompt for prompt, _ in self._held.values())
        self._held.clear()

    async def _probed(self, prompt: Prompt, problem: BackendError) -> Outcome:
        if self._outages >= OUTAGES:
            raise ArmGone(
                f"The server was away {OUTAGES + 1} times: {problem.message}",
                problem.hint,
                gone=True,
            ) from problem
        try:
            return await self._probe(prompt)
        except BackendError as error:
            last = error
        except TimeoutError:
            last = problem
        count = len(self._held)
        before = f"{count} requests in a row failed: " if count > 1 and not last.gone else ""
        raise ArmGone(f"{before}{last.message}", last.hint, gone=True) from last
