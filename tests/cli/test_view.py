"""``baft view`` as a process of its own."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

pytest.importorskip("starlette")


def test_view_prints_its_address_serves_the_run_and_stops(project, baft):
    baft("compare", "small", "--json")
    (folder,) = (project / "artifacts" / "runs").iterdir()
    running = subprocess.Popen(
        [sys.executable, "-m", "baft", "view", "last", "--no-open"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        url = running.stdout.readline().strip()
        found = re.fullmatch(r"(http://127\.0\.0\.1:\d+)/run/([^?]+)\?token=([\w-]{32})", url)
        assert found[2] == folder.name
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(f"{found[1]}/")
        with urllib.request.urlopen(url) as answer:
            assert f"url=/run/{folder.name}" in answer.read().decode()
            cookie = answer.headers["set-cookie"].split(";")[0]
        asked = urllib.request.Request(f"{found[1]}/run/{folder.name}", headers={"cookie": cookie})
        with urllib.request.urlopen(asked) as answer:
            page = answer.read().decode()
        assert "Promote finetuned" in page
        assert page.count('<details class="example"') == 22
        asked = urllib.request.Request(
            f"{found[1]}/run/{folder.name}/file/report.html", headers={"cookie": cookie}
        )
        with urllib.request.urlopen(asked) as answer:
            assert answer.read() == (folder / "report.html").read_bytes()
    finally:
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=60)


def test_without_the_extra_it_says_what_to_install(project, baft, monkeypatch):
    for name in [n for n in sys.modules if n.startswith("baft.viewer")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "starlette", None)
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    code, _, err = baft("view", "--no-open")
    assert (code, 'pip install "baft[view]"' in err) == (2, True)


def test_a_port_that_is_taken_and_a_run_that_is_not_there_are_said(project, baft):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, _, err = baft("view", "--no-open", "--port", taken.getsockname()[1])
    assert (code, "cannot be opened" in err) == (2, True)
    assert baft("view", "nowhere", "--no-open")[0] == 2
