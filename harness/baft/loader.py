"""Find, load, block and list plugins; every call returns a fresh set of them.

Plugins enter by the entry-point group ``baft``, one at a time, so that a broken one is listed with
its reason and takes nothing else down.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from . import hookspecs
from .errors import BaftError, PluginError, UsageError, did_you_mean
from .protocols import Context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .protocols import Backend, Metric, Role

KINDS = (
    "backends",
    "roles",
    "metrics",
    "trainers",
    "optimizers",
    "gate_rules",
    "reporters",
    "executors",
    "exporters",
    "commands",
)
"""What can be offered; each has a hook ``baft_register_<kind>``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginInfo:
    """One line of ``baft plugins``."""

    name: str
    """Entry-point name."""
    distribution: str
    """Distribution and version it came with."""
    module: str
    offers: tuple[str, ...] = ()
    """What it registered, such as ``backends:ollama``."""
    experimental: tuple[str, ...] = ()
    """Those of its offers that may still change."""
    hooks: tuple[str, ...] = ()
    """The other hooks that it implements."""
    problem: str = ""
    """Why it is not in use; empty where it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Something a plugin registered, and who did."""

    plugin: str
    factory: Callable[..., Any]
    experimental: bool = False


@dataclass(slots=True)
class Plugins:
    """All that was loaded: the hooks to call and the things that were offered."""

    manager: pluggy.PluginManager
    offers: dict[str, dict[str, Offer]] = field(default_factory=dict)
    infos: list[PluginInfo] = field(default_factory=list)
    clashes: dict[tuple[str, str], str] = field(default_factory=dict)
    """Names that two plugins offer, with the sentence that says so."""

    def names(self, kind: str) -> list[str]:
        """Names on offer of a kind, sorted."""
        return sorted(self.offers.get(kind, {}))

    def offer(self, kind: str, name: str) -> Offer:
        """Who offers ``name``.

        Raises:
            PluginError: two plugins offer it.
            UsageError: nobody does; the nearest name, or the plugin that failed, is named.
        """
        if (kind, name) in self.clashes:
            raise PluginError(self.clashes[kind, name], "Block one with --no-plugin NAME.")
        found = self.offers.get(kind, {}).get(name)
        if found is not None:
            return found
        singular = kind.removesuffix("s").replace("_", " ")
        broken = next((i for i in self.infos if i.problem and name in (i.name, i.module)), None)
        if broken is not None:
            raise PluginError(
                f"The {singular} {name!r} is not available: {broken.problem}.",
                "See `baft plugins`.",
            )
        raise UsageError(
            f"There is no {singular} named {name!r}.", did_you_mean(name, self.names(kind))
        )

    def make(self, kind: str, name: str, *args: Any) -> Any:
        """The named thing, made by its factory; anything it raises is put at the plugin's door."""
        offer = self.offer(kind, name)
        try:
            return offer.factory(*args)
        except BaftError:
            raise
        except ModuleNotFoundError as error:
            raise PluginError(
                f"{name!r} of plugin {offer.plugin!r} needs the package {error.name!r}, "
                "which is not installed.",
                f'Install it: pip install "baft[{offer.plugin}]", or see `baft doctor`.',
            ) from error
        except Exception as error:  # border: plugin call
            raise PluginError(
                f"Plugin {offer.plugin!r} failed to make {name!r}: {describe(error)}.",
                "Report it to the plugin's author, or block it with --no-plugin.",
            ) from error

    def role(self, name: str) -> Role:
        """The named role."""
        return self.make("roles", name)  # type: ignore[no-any-return]

    def metric(self, name: str) -> Metric:
        """The named metric."""
        return self.make("metrics", name)  # type: ignore[no-any-return]

    def context(self, **options: Any) -> Context:
        """Surroundings for the backends of one comparison; see ``Context`` for the options."""
        context: Context

        def open_spec(spec: str) -> Backend:
            return self.open(spec, context)

        context = Context(open=open_spec, **options)
        return context

    def open(self, spec: str, context: Context) -> Backend:
        """The backend that a spec names; a bare path is recognised by what lies in it."""
        scheme, target = self.resolve(spec)
        backend: Backend = self.make("backends", scheme, target, context)
        return backend

    def resolve(self, spec: str) -> tuple[str, str]:
        """Scheme and target of a spec.

        Raises:
            UsageError: unknown scheme; a path with nothing, or two things, in it.
        """
        scheme, colon, target = spec.partition(":")
        known = self.names("backends")
        clashing = [name for kind, name in self.clashes if kind == "backends"]
        if colon and (scheme in known or scheme in clashing):
            if not target:
                raise UsageError(f"The spec {spec!r} names no model.", f"Write {scheme}:MODEL.")
            return scheme, target
        path = Path(spec).expanduser()
        if not path.exists():
            if colon and not spec.startswith((".", "/", "~")) and len(scheme) > 1:
                self.offer("backends", scheme)  # raises, with the nearest name
            raise UsageError(
                f"The model {spec!r} is neither a spec nor a path that exists.",
                f"Specs are SCHEME:MODEL with one of {', '.join(known)}.",
            )
        return self._recognise(path)

    def _recognise(self, path: Path) -> tuple[str, str]:
        answers = {}
        for plugin in self.manager.get_plugins():
            caller = self.manager.subset_hook_caller(
                "baft_recognise_path", self.manager.get_plugins() - {plugin}
            )
            answer = caller(path=path)
            if answer:
                answers[self.manager.get_name(plugin)] = answer
        found = sorted(set(answers.values()))
        if len(found) == 1:
            return self.resolve(found[0])
        inside = sorted(p.name for p in path.iterdir())[:8] if path.is_dir() else [path.name]
        looked = (
            "adapter_config.json (lora), program.json or program_components.json (dspy), "
            "config.json with *.safetensors (hf), a *.jsonl file (replay)"
        )
        if not found:
            raise UsageError(
                f"Nothing in {str(path)!r} says what model it is; found: "
                f"{', '.join(inside) or 'an empty folder'}.",
                f"Looked for {looked}.",
            )
        raise UsageError(
            f"{str(path)!r} could be {' or '.join(found)}.",
            "Write the one you mean with its scheme in front.",
        )


def describe(error: BaseException) -> str:
    """An exception in a few words, its type included where the text alone says little."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines)[:300].rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


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
        for entry in distribution.entry_points:
            if entry.group == "baft":
                label = f"{distribution.metadata['Name']} {distribution.version}"
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
        with contextlib.redirect_stdout(sys.stderr):  # stdout carries results only
            module = entry.load()
            plugins.manager.register(module, name=name)
            plugins.manager.check_pending()
            offers = _collect(plugins, name, module)
    except (Exception, SystemExit) as error:  # border: plugin call
        if plugins.manager.has_plugin(name):
            plugins.manager.unregister(name=name)
        for kind in KINDS:
            mine = [n for n, offer in plugins.offers[kind].items() if offer.plugin == name]
            for offered in mine:
                del plugins.offers[kind][offered]
        return PluginInfo(**info, problem=describe(error))
    callers = plugins.manager.get_hookcallers(module) or []
    hooks = sorted(c.name for c in callers if not c.name.startswith("baft_register_"))
    untried = [
        f"{kind}:{thing}"
        for kind in KINDS
        for thing, offer in plugins.offers[kind].items()
        if offer.plugin == name and offer.experimental
    ]
    return PluginInfo(**info, offers=tuple(offers), experimental=tuple(untried), hooks=tuple(hooks))


def _collect(plugins: Plugins, name: str, module: Any) -> list[str]:
    """Call one plugin's ``baft_register_*`` hooks and note who offered what."""
    manager = plugins.manager
    others = manager.get_plugins() - {module}
    offered: list[str] = []
    for kind in KINDS:

        def register(
            thing: str,
            factory: Callable[..., Any],
            *,
            experimental: bool = False,
            kind: str = kind,
        ) -> None:
            if not isinstance(thing, str) or not thing or not callable(factory):
                raise PluginError(f"register() of {kind} needs a name and a factory")
            here = plugins.offers[kind]
            if thing in here:
                plugins.clashes[kind, thing] = (
                    f"The plugins {here[thing].plugin!r} and {name!r} both offer "
                    f"{kind.removesuffix('s').replace('_', ' ')} {thing!r}."
                )
            else:
                here[thing] = Offer(plugin=name, factory=factory, experimental=experimental)
            offered.append(f"{kind}:{thing}")

        manager.subset_hook_caller(f"baft_register_{kind}", others)(register=register)
    return offered


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
                caller(**arguments)
            except Exception as error:  # border: plugin call
                warn(f"Plugin {name!r} failed in {hook}: {describe(error)}.")

    return tell


def tell(plugins: Plugins, hook: str, warn: Callable[[str], None], **arguments: Any) -> None:
    """Tell plugins of something that happened once."""
    told = listeners(plugins, hook, warn)
    if told:
        told(**arguments)


__all__ = ["KINDS", "Offer", "PluginInfo", "Plugins", "listeners", "load_plugins", "tell"]
