"""Find, load, block and list plugins; every call returns a fresh set of them.

Plugins enter by the entry-point group ``baft``, one at a time, so that a broken one is listed with
its reason and takes nothing else down.
"""

from __future__ import annotations

import importlib.metadata
from typing import TYPE_CHECKING, Any

import pluggy

from . import hookspecs
from .errors import PluginError, UsageError, did_you_mean
from .offers import KINDS, Offer, PluginInfo, Plugins, describe, off_stdout, singular

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


def load_plugins(*, blocked: Iterable[str] = ()) -> Plugins:
    """Load every plugin of the entry-point group ``baft`` that is not blocked.

    Raises:
        UsageError: a blocked name is the name of no plugin.
    """
    manager = pluggy.PluginManager("baft")
    manager.add_hookspecs(hookspecs)
    plugins = Plugins(manager, {kind: {} for kind in KINDS})
    entries = _entry_points()
    for name in blocked:
        if name not in entries:
            raise UsageError(f"There is no plugin named {name!r}.", did_you_mean(name, entries))
        manager.set_blocked(name)
    for name, found in sorted(entries.items()):
        plugins.infos.append(_load(plugins, name, found))
    return plugins


def _entry_points() -> Mapping[str, list[tuple[Any, str]]]:
    entries: dict[str, list[tuple[Any, str]]] = {}
    for distribution in importlib.metadata.distributions():
        try:
            mine = [entry for entry in distribution.entry_points if entry.group == "baft"]
            label = f"{distribution.metadata['Name']} {distribution.version}" if mine else ""
        except Exception:  # border: what a stranger's installer left behind is no plugin
            continue
        for entry in mine:
            same = entries.setdefault(entry.name, [])
            if (entry.value, label) not in [(e.value, other) for e, other in same]:
                same.append((entry, label))
    return entries


def _load(plugins: Plugins, name: str, found: list[tuple[Any, str]]) -> PluginInfo:
    entry, label = found[0]
    info = {"name": name, "distribution": label, "module": entry.value}
    if plugins.manager.is_blocked(name):
        return PluginInfo(**info, problem="blocked by --no-plugin")
    if len(found) > 1:
        labels = " and ".join(sorted(label for _, label in found))
        return PluginInfo(**info, problem=f"{labels} both bring a plugin of this name")
    try:
        with off_stdout():
            module = entry.load()
            plugins.manager.register(module, name=name)
            plugins.manager.check_pending()
            offered = _offered(plugins, name, module)
    except (Exception, SystemExit) as error:  # border: plugin call
        if plugins.manager.has_plugin(name):
            plugins.manager.unregister(name=name)
        return PluginInfo(**info, problem=describe(error))
    for (kind, thing), offer in offered.items():
        _enter(plugins, kind, thing, offer)
    callers = plugins.manager.get_hookcallers(module) or []
    return PluginInfo(
        **info,
        offers=tuple(f"{kind}:{thing}" for kind, thing in offered),
        experimental=tuple(f"{k}:{t}" for (k, t), offer in offered.items() if offer.experimental),
        hooks=tuple(sorted(c.name for c in callers if not c.name.startswith("baft_register_"))),
    )


def _offered(plugins: Plugins, name: str, module: Any) -> dict[tuple[str, str], Offer]:
    """Call one plugin's ``baft_register_*`` hooks; all that it offers, by kind and name."""
    manager = plugins.manager
    others = manager.get_plugins() - {module}
    offered: dict[tuple[str, str], Offer] = {}
    for kind in KINDS:

        def register(
            thing: str,
            factory: Callable[..., Any],
            *,
            experimental: bool = False,
            kind: str = kind,
        ) -> None:
            if not isinstance(thing, str) or not thing or not callable(factory):
                raise PluginError(f"register() needs a name and a factory, not {thing!r}")
            if (kind, thing) in offered:
                raise PluginError(f"it offers the {singular(kind)} {thing!r} twice")
            offered[kind, thing] = Offer(plugin=name, factory=factory, experimental=experimental)

        hook = f"baft_register_{kind}"
        try:
            manager.subset_hook_caller(hook, others)(register=register)
        except (Exception, SystemExit) as error:  # border: plugin call
            raise PluginError(f"{hook} failed: {describe(error)}") from error
    return offered


def _enter(plugins: Plugins, kind: str, thing: str, offer: Offer) -> None:
    """Note an offer; of two by one name neither can be used until one is blocked."""
    first = plugins.offers[kind].setdefault(thing, offer)
    if first is not offer:
        plugins.clashes[kind, thing] = (
            f"The plugins {first.plugin!r} and {offer.plugin!r} both offer "
            f"{singular(kind)} {thing!r}."
        )


def listeners(
    plugins: Plugins, hook: str, warn: Callable[[str], None]
) -> Callable[..., None] | None:
    """One function that tells every plugin implementing ``hook``; None where nobody listens.

    They are told one by one: an exception in one is reported through ``warn``, and changes nothing.
    """
    callers = []
    everyone = plugins.manager.get_plugins()
    for plugin in everyone:
        caller = plugins.manager.subset_hook_caller(hook, everyone - {plugin})
        if caller.get_hookimpls():
            callers.append((plugins.manager.get_name(plugin), caller))
    if not callers:
        return None

    def tell(**arguments: Any) -> None:
        for name, caller in callers:
            try:
                with off_stdout():
                    caller(**arguments)
            except (Exception, SystemExit) as error:  # border: plugin call
                warn(f"Plugin {name!r} failed in {hook}: {describe(error)}.")

    return tell


def tell(plugins: Plugins, hook: str, warn: Callable[[str], None], **arguments: Any) -> None:
    """Tell plugins of something that happened once."""
    told = listeners(plugins, hook, warn)
    if told:
        told(**arguments)


__all__ = [
    "KINDS",
    "Offer",
    "PluginInfo",
    "Plugins",
    "describe",
    "listeners",
    "load_plugins",
    "off_stdout",
    "tell",
]
