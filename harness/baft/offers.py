"""What was loaded: the hooks to call, the things on offer, and making and opening them.

Whatever a plugin raises, prints or makes wrongly ends here: it is put at the plugin's door.
"""

from __future__ import annotations

import contextlib
import difflib
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import BaftError, PluginError, UsageError, did_you_mean
from .protocols import (
    Backend,
    Context,
    Executor,
    Exporter,
    Metric,
    Optimizer,
    Role,
    Trainer,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pluggy

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

PROTOCOLS: Mapping[str, type] = {
    "backends": Backend,
    "roles": Role,
    "metrics": Metric,
    "trainers": Trainer,
    "optimizers": Optimizer,
    "executors": Executor,
    "exporters": Exporter,
}
"""What a factory of each kind must make; one of any other kind makes something to call."""


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
        broken = {i.name: i for i in self.infos if i.problem}
        mine = next((i for i in broken.values() if name in (i.name, i.module)), None)
        if mine is not None:
            raise PluginError(
                f"The {singular(kind)} {name!r} is not available: {mine.problem}.",
                "See `baft plugins`.",
            )
        hint = did_you_mean(name, self.names(kind))
        if broken:
            hint += f" Not in use: {', '.join(broken)}; see `baft plugins`."
        raise UsageError(f"There is no {singular(kind)} named {name!r}.", hint)

    def make(self, kind: str, name: str, *args: Any) -> Any:
        """The named thing, made by its factory; anything it raises is put at the plugin's door.

        Raises:
            PluginError: the factory failed, or made something else than it must.
        """
        offer = self.offer(kind, name)
        try:
            with self.calling(kind, name):
                made = offer.factory(*args)
                lacks = _lacks(kind, made)
        except PluginError as error:
            if not isinstance(error.__cause__, ModuleNotFoundError):
                raise
            missing = error.__cause__.name
            theirs = next(i.distribution for i in self.infos if i.name == offer.plugin)
            ours = theirs.startswith("baft ")
            package = f'"baft[{offer.plugin}]"' if ours else missing
            raise PluginError(
                f"{name!r} of plugin {offer.plugin!r} needs the package {missing!r}, "
                "which is not installed.",
                f"Install it: pip install {package}, or see `baft doctor`.",
            ) from error
        if lacks:
            raise PluginError(
                f"Plugin {offer.plugin!r} made the {singular(kind)} {name!r} of type "
                f"{type(made).__name__}, which {lacks}.",
                f"Report it to its author, or leave it out: --no-plugin {offer.plugin}.",
            )
        return made

    @contextlib.contextmanager
    def calling(self, kind: str, name: str) -> Iterator[None]:
        """A call into the named thing: stdout stays clean, and what it raises names its plugin.

        Raises:
            PluginError: for whatever is no error of baft's own.
        """
        plugin = self.offer(kind, name).plugin
        try:
            with off_stdout():
                yield
        except BaftError:
            raise
        except (Exception, SystemExit) as error:  # border: plugin call
            raise PluginError(
                f"Plugin {plugin!r} failed in its {singular(kind)} {name!r}: {describe(error)}.",
                f"Report it to its author, or leave it out: --no-plugin {plugin}.",
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
                f"{_nearest(path)}Specs are SCHEME:MODEL with one of {', '.join(known)}.",
            )
        return self._recognise(path)

    def _recognise(self, path: Path) -> tuple[str, str]:
        answers = {}
        known = {*self.names("backends"), *(n for k, n in self.clashes if k == "backends")}
        for plugin in self.manager.get_plugins():
            caller = self.manager.subset_hook_caller(
                "baft_recognise_path", self.manager.get_plugins() - {plugin}
            )
            name = self.manager.get_name(plugin)
            try:
                with off_stdout():
                    answer = caller(path=path)
            except (Exception, SystemExit) as error:  # border: plugin call
                raise _answered_badly(name, describe(error)) from error
            if answer is None:
                continue
            if not isinstance(answer, str) or answer.partition(":")[0] not in known:
                raise _answered_badly(name, f"{answer!r} is no spec SCHEME:MODEL")
            answers[name] = answer
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


def singular(kind: str) -> str:
    """One of a kind, in words.

    >>> singular("gate_rules")
    'gate rule'
    """
    return kind.removesuffix("s").replace("_", " ")


@contextlib.contextmanager
def off_stdout() -> Iterator[None]:
    """Keep stdout for results: what a plugin prints in here goes to stderr."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def _nearest(path: Path) -> str:
    """A sentence with the path that was probably meant; empty where none is near."""
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, beside, n=1)
    return f"Did you mean {str(path.parent / near[0])!r}? " if near else ""


def _lacks(kind: str, made: object) -> str:
    """What keeps something from being of its kind; empty where nothing does."""
    if kind not in PROTOCOLS:
        return "" if callable(made) else "cannot be called"
    needed = [name for name in vars(PROTOCOLS[kind]) if not name.startswith("_")]
    missing = [name for name in needed if not hasattr(made, name)]
    return f"lacks {', '.join(missing)}" if missing else ""


def _answered_badly(plugin: str | None, what: str) -> PluginError:
    return PluginError(
        f"Plugin {plugin!r} failed in baft_recognise_path: {what}.",
        f"Write the model with its scheme in front, or leave it out: --no-plugin {plugin}.",
    )


def describe(error: BaseException) -> str:
    """An exception in a few words, its type included where the text alone says little."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines)[:300].rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


__all__ = ["KINDS", "Offer", "PluginInfo", "Plugins", "describe", "off_stdout", "singular"]
