"""Generated code is hostile until proven otherwise: what it tries inside comes to nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from baft_dev import sandbox
from baft_dev.sandbox import FOLDER, Limits, SandboxError, python, run

pytestmark = pytest.mark.skipif(bool(sandbox.problem()), reason=sandbox.problem())


def inside(code, files=None, **limits):
    return run([python(), "-I", "-S", "-c", code], files or {}, limits=Limits(**limits))


def test_a_command_sees_its_files_and_says_how_it_ended():
    outcome = inside(
        "import os, sys; print(os.getcwd(), open('a/b.txt', encoding='utf-8').read()); sys.exit(7)",
        {"a/b.txt": "año"},
    )
    assert (outcome.rc, outcome.output) == (7, f"{FOLDER} año\n")


def test_nothing_of_the_machine_can_be_read_or_written(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("hunter2")
    outcome = inside(f"""
import os
for name in {[str(secret), __file__, "/etc/passwd", "/etc/shadow", "/proc/1/environ", "/proc"]}:
    try:
        print("READ", open(name, "rb").read())
    except OSError:
        print("no")
own = os.path.dirname(os.__file__) + "/x"
for name in ("/x", "/usr/lib/x", "/dev/x", "/tools/x", own, {str(secret)!r}):
    try:
        print("WROTE", open(name, "wb").write(b"x"), name)
    except OSError:
        print("no")
""")
    assert outcome.output.split() == ["no"] * 12
    assert secret.read_text() == "hunter2"


def test_the_environment_holds_no_secret(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "hunter2")
    assert "hunter2" not in inside("import os; print(dict(os.environ))").output


def test_there_is_no_network_not_even_to_this_machine():
    outcome = inside("""
import socket
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
    for address in ("127.0.0.1", "192.0.2.1"):
        try:
            socket.socket(socket.AF_INET, kind).connect((address, 9))
            print("CONNECTED", address)
        except OSError:
            print("no")
""")
    assert outcome.output.split() == ["no"] * 4


def test_links_and_paths_that_lead_out_lead_nowhere(tmp_path):
    target = tmp_path / "victim.txt"
    outcome = inside(f"""
import os
os.symlink({str(target)!r}, "link")
for name in ("link", "../../../../../{str(target).lstrip("/")}"):
    try:
        open(name, "w").write("x")
    except OSError:
        print("no")
""")
    assert outcome.output.split() == ["no"] * 2
    assert not target.exists()


def test_rights_are_gone_and_do_not_come_back():
    outcome = inside("""
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
print(os.getuid() == 0, libc.setuid(0), libc.unshare(0x10000000), libc.unshare(0x20000))
print(libc.mount(b"tmpfs", b"/tmp", b"tmpfs", 0, None), libc.ptrace(16, 1, 0, 0))
try:
    os.kill(1, 9)
except OSError:
    print("no")
""")
    assert outcome.output.split() == ["False", *["-1"] * 5, "no"]


def test_an_endless_loop_is_stopped_by_its_processor_time():
    assert inside("while True: pass", cpu_s=1).rc == -9


def test_a_sleeper_is_stopped_when_the_time_is_up():
    assert inside("import time; time.sleep(600)", wall_s=1).rc is None


def test_processes_cannot_multiply():
    outcome = inside("""
import os, time
made = 0
try:
    while made < 100:
        if os.fork() == 0:
            time.sleep(600)
        made += 1
except OSError:
    print(made)
""")
    assert 0 < int(outcome.output) < Limits().processes


def test_a_process_that_runs_away_dies_with_the_command():
    mark = f"away-{os.getpid()}-{time.monotonic_ns()}"
    outcome = inside(f"""
import os, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv({python()!r}, ["x", "-I", "-S", "-c", "import time; time.sleep(600)", {mark!r}])
else:
    os.wait()
    print("gone")
""")
    assert outcome.output == "gone\n"
    listed = subprocess.run(["ps", "ax", "-o", "args"], capture_output=True, text=True, check=True)
    assert mark not in listed.stdout


def test_memory_is_bounded():
    outcome = inside("x = bytearray(2**30)")
    assert (outcome.rc, "MemoryError" in outcome.output) == (1, True)


def test_output_and_files_are_bounded():
    limits = Limits()
    outcome = inside(f"print('x' * {limits.file * 3})")
    assert outcome.rc != 0
    assert len(outcome.output) <= limits.file
    assert inside(f"open('big', 'wb').write(b'x' * {limits.file * 3})").rc == 1
    many = f"for i in range(99): open(str(i), 'wb').write(b'x' * {limits.file})"
    assert "No space left" in inside(many).output


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    inside("open('/tmp/x', 'w').write('x')")
    inside("import time; time.sleep(600)", wall_s=1)
    assert list(tmp_path.iterdir()) == []


def test_a_system_without_a_sandbox_is_an_error_that_says_what_to_do(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(SandboxError, match=r"needs Linux, and this is win32.*Score on Linux"):
        inside("")


def test_a_system_that_refuses_namespaces_is_an_error_that_names_what_failed(tmp_path, monkeypatch):
    script = tmp_path / "confined.py"
    source = (sandbox.Path(sandbox.__file__).with_name("confined.py")).read_text(encoding="utf-8")
    script.write_text(source.replace("    0x00020000  # mounts", "    0x1"), encoding="utf-8")
    monkeypatch.setattr(sandbox, "__file__", str(tmp_path / "sandbox.py"))
    with pytest.raises(SandboxError, match=r"does not allow it: unshare: Invalid argument"):
        inside("")
