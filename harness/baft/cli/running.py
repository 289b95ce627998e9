"""What ``compare`` and ``eval`` share: from flags to a finished run."""

from __future__ import annotations

import importlib
import os
import signal
import threading
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common import Exit
from .progress import RunProgress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType

    from ..comparison import Asked
    from ..concluding import Outcome
    from ..execution import Prepared
    from ..protocols import Context
    from ..records import Manifest
    from ..store import Benchmark
    from .common import State


REPORTING = (
    "baft.concluding",
    "rich.table",
    "scipy.special",
    "scipy.sparse",
)
"""What the end of a run takes to import; reports make themselves ready. All takes a second."""

HEAD_START_S = 0.05
"""So long the first requests have the interpreter to themselves."""


def asked_for(
    *,
    concurrency: int,
    timeout: float,
    retries: int,
    limit: int | None,
    repeats: int,
    allow_invalid: bool,
    options: Mapping[str, Any],
    stream: bool = False,
) -> Asked:
    """The flags of execution as a record.

    Raises:
        UsageError: one is out of range.
    """
    from ..comparison import Asked
    from ..errors import UsageError
    from ..logs import check_level
    from ..records import Limits

    check_level(str(options.get("log_level", "info")))
    try:
        return Asked(
            limits=Limits(
                concurrency=concurrency, timeout_s=timeout, retries=retries, stream=stream
            ),
            limit=limit,
            repeats=repeats,
            allow_invalid=allow_invalid,
            options=options,
        )
    except ValueError as error:
        raise UsageError(f"{error}.", "Check the flags.") from error


def anchored(benchmark: Benchmark) -> Benchmark:
    """The benchmark with its relative paths turned into paths that work from here."""
    from ..opening import anchor

    root = Path(benchmark.root)
    return replace(
        benchmark,
        dataset=anchor(benchmark.dataset, root),
        train=anchor(benchmark.train, root) if benchmark.train else "",
        sealed=anchor(benchmark.sealed, root) if benchmark.sealed else "",
        models={name: anchor(spec, root) for name, spec in benchmark.models.items()},
    )


def measured_by(
    here: State, frozen: Benchmark, role: str | None, metric: str | None
) -> dict[str, Any]:
    """Metric and version where another one is meant: the one named, or another role's own."""
    if metric is None and role is not None and role != frozen.role:
        metric = here.plugins.role(role).metric
    if metric is None or metric == frozen.metric:
        return {}
    return {"metric": metric, "metric_version": here.plugins.metric(metric).version}


def decoded(temperature: float | None, deterministic: bool) -> dict[str, Any]:
    """What these flags change in the decoding; ``--deterministic`` alone is greedy too."""
    if not deterministic:
        return {"temperature": temperature}
    return {"temperature": 0.0 if temperature is None else temperature, "deterministic": True}


def start(here: State, benchmark: Benchmark, asked: Asked, output: Path | None) -> Prepared:
    """Open everything and create the run."""
    from ..comparison import prepare
    from ..loader import off_stdout

    role = here.plugins.role(benchmark.role)
    folder = output if output is not None else here.project / "artifacts" / "runs"
    shown = os.path.relpath(folder)
    with off_stdout():
        return prepare(
            benchmark,
            Path(benchmark.dataset),
            folder if shown.startswith("..") else Path(shown),
            here.plugins,
            context_of(here, asked.options, role.name),
            asked,
            project=here.project,
            warn=here.warn,
        )


def resume(here: State, folder: Path) -> Prepared:
    """Open a run that was begun."""
    from ..comparison import reopen

    def context_for(manifest: Manifest) -> Context:
        return context_of(here, manifest.options, manifest.role)

    return reopen(folder, here.plugins, context_for, project=here.project, warn=here.warn)


def context_of(here: State, options: Mapping[str, Any], role: str) -> Context:
    """Surroundings of the models, from the flags that opening them depends on."""
    return here.plugins.context(
        env=here.env,
        role=here.plugins.role(role),
        device=options.get("device", "auto"),
        batch_size=options.get("batch_size"),
        allow_download=bool(options.get("allow_download")),
        allow_pickle=bool(options.get("allow_pickle")),
    )


def finish(here: State, prepared: Prepared) -> Outcome:
    """Run what is missing, then report and decide; Ctrl-C leaves a run that can be resumed."""
    from ..execution import run
    from ..loader import off_stdout

    folder = prepared.store.folder
    here.say(f"run {folder}")
    with (
        RunProgress(here) as progress,
        interruptible(
            progress,
            f"go on with: baft compare --resume {folder}",
            lambda: _standing(prepared, progress),
        ),
        off_stdout(),
    ):
        with loading_ahead():
            problems = run(prepared, progress)
        from ..concluding import conclude

        outcome = conclude(prepared, problems, progress)
    prepared.store.close()
    for problem in outcome.problems:
        here.warn(problem)
    if outcome.problems:
        here.warn(f"the run is not complete; go on with: baft compare --resume {folder}")
    return outcome


@contextmanager
def loading_ahead() -> Iterator[None]:
    """Make ready what the end of a run is made with, in a thread, while models are asked."""
    over = threading.Event()

    def load() -> None:
        over.wait(HEAD_START_S)
        with suppress(Exception):  # whoever needs it imports it again, and says what is wrong
            for name in REPORTING:
                importlib.import_module(name)
            if not over.is_set():
                importlib.import_module("baft.reports").make_ready()

    thread = threading.Thread(target=load, name="baft-ahead", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _standing(prepared: Prepared, progress: RunProgress) -> str:
    """How far the run is, as its store says; read apart, for it may be in use just now."""
    from ..reports import standing_text
    from ..store import RunReader

    with RunReader.reading(prepared.store.folder) as store:
        return standing_text(prepared.manifest, store.tallies(), progress.seen)


@contextmanager
def interruptible(
    progress: RunProgress, how: str, standing: Callable[[], str] = lambda: ""
) -> Iterator[None]:
    """On Ctrl-C or SIGTERM say how far it is and how to go on, and leave at once.

    Everything that came back is committed already, and a model at work in a thread could otherwise
    hold the process for minutes.

    Args:
        progress: what is shown meanwhile.
        how: how to go on, in words.
        standing: how far it is, one line or several; what it raises is passed over.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        for one in before:
            signal.signal(one, signal.SIG_IGN)
        _in_time(progress.stop, 1.0)  # what was interrupted may hold the terminal's lock
        said: list[str] = []
        _in_time(lambda: said.append(standing()), 5.0)
        lines = [*(text for text in said if text), f"interrupted; {how}"]
        text = "\n".join(lines) + "\n"
        with suppress(OSError):
            os.write(2, text.encode(errors="replace"))  # a print may be what was interrupted
        os._exit(Exit.INTERRUPTED)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {one: signal.signal(one, leave) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _in_time(call: Callable[[], None], seconds: float) -> None:
    """Call it, and wait for it no longer than that; what it raises is passed over."""

    def guarded() -> None:
        with suppress(Exception):  # the process ends either way
            call()

    thread = threading.Thread(target=guarded, daemon=True)
    thread.start()
    thread.join(seconds)
