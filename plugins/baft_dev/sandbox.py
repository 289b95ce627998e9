"""Runs a command on text that a model wrote, where it can do no harm: limits, and see ``confined``.

What is inside is judged by its output alone, and output is never more than text.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from baft import BaftError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FOLDER = "/tmp/project"
"""Where the files lie inside."""
TOOLS = "/tools"
"""Where the order's tools lie inside."""
LIBRARIES = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/etc/ld.so.cache", "/nix/store")
"""What programs need of the system to start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one command may take."""

    cpu_s: int = 10
    """Seconds of processor time of each process."""
    wall_s: float = 60.0
    """Seconds until everything is killed: long, so that a busy machine changes no score."""
    memory: int = 512 * 2**20
    """Bytes of address space of each process."""
    processes: int = 8
    """Most processes and threads at once."""
    file: int = 2**20
    """Bytes of one file, and of the output."""
    disk: int = 16 * 2**20
    """Bytes of all files; they live in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a command ended."""

    rc: int | None
    """Exit status; minus the signal that ended it; None where the time was up."""
    output: str
    """What it wrote to stdout and stderr, as far as the limit goes."""


class SandboxError(BaftError):
    """The sandbox could not be built here."""


def run(
    command: Sequence[str],
    files: Mapping[str, str],
    tools: Mapping[str, Path] | None = None,
    limits: Limits | None = None,
) -> Outcome:
    """Run a command in an empty folder that holds the files.

    Args:
        command: The program, as a path inside, and its arguments.
        files: Content by name relative to the folder.
        tools: Files and folders of the machine to show read-only under ``TOOLS``, by name.
        limits: How much it may take.

    Raises:
        SandboxError: this machine has or allows no sandbox.
    """
    limits = limits or Limits()
    _need_linux()
    with (
        tempfile.TemporaryDirectory(prefix="baft-sandbox-") as root,
        tempfile.TemporaryFile() as out,
    ):
        order = json.dumps(_order(root, command, files, tools or {}, limits))
        reading, writing = os.pipe()
        with os.fdopen(reading) as status:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-S",
                    str(Path(__file__).with_name("confined.py")),
                    str(writing),
                ],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                env={},
                pass_fds=(writing,),
                start_new_session=True,
            )
            os.close(writing)
            _wait(process, order, limits.wall_s)
            said = json.loads(status.readline() or "{}")
        if "problem" in said:
            raise _impossible(f"this system does not allow it: {said['problem']}")
        out.seek(0)
        output = out.read(limits.file).decode("utf-8", "replace")
        if not said and process.returncode >= 0:
            raise _impossible(f"it stopped early: {output.strip()[-200:]}")
        return Outcome(rc=said.get("rc"), output=output)


def _wait(process: subprocess.Popen[bytes], order: str, wall_s: float) -> None:
    """Hand over the order and wait; when the time is up, everything is killed."""
    try:
        process.communicate(order.encode(), timeout=wall_s)
    except subprocess.TimeoutExpired:
        pass
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # pid 1 inside dies with its watchers
            process.wait()


def _order(
    root: str,
    command: Sequence[str],
    files: Mapping[str, str],
    tools: Mapping[str, Path],
    limits: Limits,
) -> dict[str, object]:
    shown = [[path, path] for path in _system()]
    shown += [[os.path.realpath(path), f"{TOOLS}/{name}"] for name, path in tools.items()]
    return {
        "root": os.path.realpath(root),
        "command": list(command),
        "files": dict(files),
        "folder": FOLDER,
        "readable": shown,
        "disk": limits.disk,
        "limits": {
            "CPU": limits.cpu_s,
            "AS": limits.memory,
            "FSIZE": limits.file,
            "NPROC": limits.processes,
            "NOFILE": 256,
            "CORE": 0,
        },
        "env": {
            "PATH": "",
            "HOME": "/tmp",
            "TMPDIR": "/tmp",
            "LANG": "C.UTF-8",
            "PYTHONHASHSEED": "0",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "RAYON_NUM_THREADS": "1",
        },
    }


def python() -> str:
    """The interpreter behind every virtual environment, as a path inside."""
    return os.path.realpath(sys.executable)


def _system() -> list[str]:
    """Libraries of the system, the interpreter and its standard library; none inside another."""
    home = os.path.dirname(os.path.dirname(python()))
    prefixes = {os.path.realpath(p) for p in (sys.base_prefix, sys.base_exec_prefix, home)}
    if "/usr" in prefixes:  # the rest of it is not needed
        prefixes = prefixes - {"/usr"} | {"/usr/bin"}
    paths = [path for path in (*LIBRARIES, *sorted(prefixes)) if os.path.lexists(path)]
    return [p for p in paths if not any(p.startswith(f"{other}/") for other in paths)]


def _need_linux() -> None:
    if sys.platform != "linux":
        raise _impossible(f"it needs Linux, and this is {sys.platform}")


def _impossible(why: str) -> SandboxError:
    return SandboxError(
        f"Generated code cannot be run in a sandbox here: {why}.",
        "Score on Linux with user namespaces (on a desktop: sysctl "
        "kernel.apparmor_restrict_unprivileged_userns=0; in Docker: --privileged), or elsewhere.",
    )


def problem() -> str:
    """Why nothing can be run here; empty where it can."""
    try:
        run([python(), "-I", "-S", "-c", ""], {})
    except BaftError as error:
        return str(error)
    return ""
