"""Runs one command in a world of its own; started by ``sandbox``, never imported by it.

``python -I -S confined.py STATUS_FD`` reads its order as JSON from stdin. Three processes, so that
nothing the command does can outlive or outwit what watches it::

    supervisor   writes who the command will be (uid and gid maps)
    └── builder  leaves the user, mount, pid, network, ipc and uts namespaces of the machine
        └── init pid 1 of the new world: builds its files, reports how the command ended; when it
            │    goes, the kernel kills everything inside
            └── the command: no privileges, resource limits, an empty folder

The command sees the standard library, the system's shared libraries and the tools of the order,
all read-only, and one small folder in memory. It has no network, no other process, no ``/proc``,
none of the machine's files. After namespaces(7), user_namespaces(7) and mount_namespaces(7).
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from typing import Any, NoReturn

CLONE_ALL = (
    0x00020000  # mounts
    | 0x04000000  # uts
    | 0x08000000  # ipc
    | 0x10000000  # users
    | 0x20000000  # pids
    | 0x40000000  # network
)
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_NOATIME, MS_NODIRATIME, MS_BIND, MS_MOVE = 1024, 2048, 4096, 8192
MS_REC, MS_PRIVATE, MS_RELATIME = 16384, 1 << 18, 1 << 21
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38

INSIDE = 1000
"""The command's uid and gid as it sees them."""
SPARE = 2_000_000_000
"""Outside it is somebody without files or processes, where root may choose: limits on the number
of processes do not hold for root."""
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")

libc = ctypes.CDLL(None, use_errno=True)


def main(status: int) -> None:
    """Carry out the order; the status tells how the command ended, or why it could not start."""
    order = json.load(sys.stdin)
    os.set_inheritable(status, False)
    ready_read, ready = os.pipe()
    go_read, go = os.pipe()
    call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    builder = os.fork()
    if builder == 0:
        os.close(go)
        guarded(status, build, order, status, ready, go_read)
    os.close(ready)
    if os.read(ready_read, 1):
        try:
            write_maps(builder)
        except OSError as error:
            report(status, problem=f"it refuses user id maps ({error.strerror})")
            os.kill(builder, signal.SIGKILL)
        else:
            os.write(go, b"1")
    os.waitpid(builder, 0)


def guarded(status: int, function: Any, *arguments: Any) -> NoReturn:
    """Run in a child that never returns; what goes wrong is the sandbox's problem."""
    try:
        function(*arguments)
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
        report(status, problem=str(what))
    except Exception as error:  # border: a process that has nobody to raise to
        report(status, problem=repr(error))
    finally:
        os._exit(0)


def report(status: int, **said: Any) -> None:
    """Write how it went to the pipe that the command does not have."""
    os.write(status, json.dumps(said).encode() + b"\n")


def call(name: str, *arguments: Any) -> None:
    """A function of the C library; raises OSError with its name."""
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """Mount a file system, or a part of one somewhere else."""
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    if libc.mount(*encoded, ctypes.c_ulong(flags), data.encode()) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), f"mounting {target}")


def write_maps(pid: int) -> None:
    """Make the builder's own id, and for root a spare one, the ids of the new world."""
    root = os.getuid() == 0
    spare = SPARE + os.getpid()
    for name, own in (("uid", os.getuid()), ("gid", os.getgid())):
        if name == "gid" and not root:
            write(f"/proc/{pid}/setgroups", "deny")
        lines = f"0 {own} 1\n{INSIDE} {spare} 1" if root else f"{INSIDE} {own} 1"
        write(f"/proc/{pid}/{name}_map", lines)


def write(path: str, text: str) -> None:
    """Write a file in one go, as the files of the kernel want it."""
    with open(path, "wb", buffering=0) as file:
        file.write(text.encode())


def build(order: dict[str, Any], status: int, ready: int, go: int) -> None:
    """Leave the namespaces of the machine; the first child is pid 1 of the new ones."""
    call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    call("unshare", CLONE_ALL)
    os.write(ready, b"1")
    if not os.read(go, 1):
        return
    init = os.fork()
    if init == 0:
        guarded(status, live, order, status)
    os.waitpid(init, 0)


def live(order: dict[str, Any], status: int) -> None:
    """Be pid 1: build the files, start the command, say how it ended."""
    call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    write("/proc/sys/user/max_user_namespaces", "0")  # the command gets no world of its own
    build_root(order)
    call("prctl", PR_SET_DUMPABLE, 0, 0, 0, 0)  # nobody traces this process
    command = os.fork()
    if command == 0:
        guarded(status, become, order)
    while True:
        pid, ended = os.wait()
        if pid == command:
            report(status, rc=os.waitstatus_to_exitcode(ended))
            return


def build_root(order: dict[str, Any]) -> None:
    """A root with nothing but what the order shows, read-only, and ``/tmp`` in memory."""
    root = order["root"]
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,nr_inodes=2k,mode=755")
    for source, target in order["readable"]:
        show(source, root + target)
    for device in DEVICES:
        show(device, root + device)
    os.mkdir(f"{root}/tmp")
    for point in mount_points(root):
        is_device = point.removeprefix(root) in DEVICES
        flags = MS_RDONLY | MS_NOSUID | (0 if is_device else MS_NODEV) | kept_flags(point)
        mount(None, point, None, MS_REMOUNT | MS_BIND | flags)
    options = f"size={order['disk']},nr_inodes=4k,mode=1777"
    mount("tmpfs", f"{root}/tmp", "tmpfs", MS_NOSUID | MS_NODEV, options)
    os.chdir(root)
    mount(root, "/", None, MS_MOVE)
    os.chroot(".")
    os.chdir("/")


def show(source: str, target: str) -> None:
    """Make a file or folder of the machine appear; a link stays a link."""
    if os.path.islink(source):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.symlink(os.readlink(source), target)
        return
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    mount(source, target, None, MS_BIND | MS_REC)


def mount_points(root: str) -> list[str]:
    """Everything mounted at or below the root, what came with a folder included."""
    with open("/proc/self/mountinfo", "rb") as lines:
        points = [
            os.fsdecode(line.split()[4].decode("unicode_escape").encode("latin-1"))
            for line in lines
        ]
    return [point for point in points if point == root or point.startswith(f"{root}/")]


def kept_flags(point: str) -> int:
    """Flags of the mount that only the machine itself may take away."""
    found = os.statvfs(point).f_flag
    kept = {8: MS_NOEXEC, 1024: MS_NOATIME, 2048: MS_NODIRATIME, 4096: MS_RELATIME}
    return sum(flag for bit, flag in kept.items() if found & bit)


def become(order: dict[str, Any]) -> None:
    """Write the files, give up every right, and turn into the command."""
    os.setsid()
    if os.getuid() != INSIDE:
        os.setgroups([])
        os.setresgid(INSIDE, INSIDE, INSIDE)
        os.setresuid(INSIDE, INSIDE, INSIDE)
    os.umask(0o022)
    os.mkdir(order["folder"])
    os.chdir(order["folder"])
    for name, content in order["files"].items():
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        with open(name, "xb") as file:
            file.write(content.encode("utf-8", "surrogatepass"))
    for name, most in order["limits"].items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))
    call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    os.execve(order["command"][0], order["command"], order["env"])


if __name__ == "__main__":
    main(int(sys.argv[1]))
