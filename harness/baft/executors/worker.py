"""The other side of an executor: opens models where it runs, and asks them there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import BackendError, BaftError, DataError
from ..loader import describe, load_plugins
from . import memory
from .asking import ask_here

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..loader import Plugins
    from ..protocols import Backend, Context, Deliver, Outcome, Work
    from ..records import Prompt

SENT = ("spec", "fingerprint", "decoding", "limits", "surroundings")


def runs_in_process(config: Mapping[str, Any]) -> bool:
    """Whether a model, or the one under it, computes in the process that asks it."""
    under = config.get("lm")
    return bool(config.get("in_process")) or (isinstance(under, dict) and runs_in_process(under))


def parcel_of(work: Work, prompts: Sequence[Prompt]) -> dict[str, Any]:
    """What another process needs to ask these of some work's prompts: all but the open model."""
    return {**{name: getattr(work, name) for name in SENT}, "prompts": list(prompts)}


class Worker:
    """Answers parcels one after another; models of one base share its weights."""

    def __init__(self) -> None:
        self._plugins: Plugins | None = None
        self._backend: Backend | None = None
        self._contexts: dict[str, Context] = {}

    async def answer(self, parcel: Mapping[str, Any], deliver: Deliver) -> None:
        """Deliver an outcome for every prompt of a parcel.

        Raises:
            BaftError: the model cannot be opened, is another one, or is gone; in an exception
                group where it went while several were asked.
        """
        if self._backend is None or self._backend.spec != parcel["spec"]:
            await self.close()
            memory.start_anew()
            self._backend = _open(*self._context(parcel["surroundings"]), parcel["spec"])
        if self._backend.fingerprint() != parcel["fingerprint"]:
            raise DataError(
                f"{parcel['spec']} is another model here than the one the run began with.",
                "Start a new comparison.",
            )
        if runs_in_process(self._backend.describe()):
            deliver = _weighing(deliver)
        await ask_here(
            self._backend, parcel["prompts"], parcel["decoding"], parcel["limits"], deliver
        )

    async def close(self) -> None:
        """Close the model that answered last; it stays open from parcel to parcel."""
        backend, self._backend = self._backend, None
        if backend is not None:
            await backend.close()

    def _context(self, surroundings: Mapping[str, Any]) -> tuple[Plugins, Context]:
        """The context of backends that were opened elsewhere, made anew from plain data."""
        if self._plugins is None:
            self._plugins = load_plugins(blocked=surroundings["blocked"])
        key = repr(sorted(surroundings.items(), key=lambda item: item[0]))
        if key not in self._contexts:
            options = {name: value for name, value in surroundings.items() if name != "blocked"}
            role = options.pop("role", None)
            self._contexts[key] = self._plugins.context(
                role=self._plugins.role(role) if role else None, **options
            )
        return self._plugins, self._contexts[key]


def _weighing(deliver: Deliver) -> Deliver:
    """The same, told with every outcome how much memory this process held at most."""

    async def weighed(outcome: Outcome) -> None:
        await deliver(replace(outcome, peak_memory_bytes=memory.peak_bytes()))

    return weighed


def _open(plugins: Plugins, context: Context, spec: str) -> Backend:
    try:
        return plugins.open(spec, context)
    except BaftError:
        raise
    except Exception as error:  # border: plugin call
        raise BackendError(f"{spec} cannot be opened: {describe(error)}.") from error
