"""Who may ask the viewer, tried with raw requests."""

from __future__ import annotations

import socket

import pytest

from . import TOKEN

EVERY = ("/", "/run/r", "/run/r/live", "/run/r/file/report.html", "/diff", "/static/view.css", "/x")


@pytest.mark.parametrize("path", EVERY)
def test_nothing_is_answered_without_the_token(stranger, path):
    for params in ({}, {"token": ""}, {"token": TOKEN[:-1]}, {"token": TOKEN.upper()}):
        answer = stranger.get(path, params)
        assert answer.status == 403
        assert "set-cookie" not in answer.headers
    wrong = {"cookie": f"baft-view-{stranger.port}=x"}
    assert stranger.get(path, headers=wrong).status == 403


def test_the_cookie_of_another_viewer_opens_nothing(stranger):
    other = {"cookie": f"baft-view-{stranger.port + 1}={TOKEN}"}
    assert stranger.get("/", headers=other).status == 403


def test_the_token_is_compared_in_constant_time(stranger, monkeypatch):
    from baft.viewer import guard

    seen = []
    monkeypatch.setattr(guard.secrets, "compare_digest", lambda a, b: seen.append((a, b)) or a == b)
    assert stranger.get("/", {"token": "é"}).status == 403
    assert seen == [("é".encode(), TOKEN.encode())]


def test_the_token_moves_from_the_address_into_a_strict_cookie(stranger):
    answer = stranger.get("/", {"token": TOKEN})
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in answer.text
    assert 'content="0;url=/"' in answer.text
    assert stranger.get("/").status == 200


def test_going_on_leads_to_a_path_of_this_server_only(stranger):
    for path in ('/"><script>', "//evil.example/x", "/a/../..//b", "/%22%3E%3Cb%3E", "/\\evil"):
        assert stranger.get(path, {"token": TOKEN}).text.count('url=/"') == 1, path
    assert 'url=/run/2026-x.y_z"' in stranger.get("/run/2026-x.y_z", {"token": TOKEN}).text


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "", "[::1]"])
def test_other_hosts_are_refused_even_with_the_cookie(browser, host):
    named = {"host": host.format(port=browser.port)}
    assert browser.get("/", headers=named).status == 421
    assert browser.get("/", headers={"host": f"localhost:{browser.port}"}).status == 200


def test_a_request_with_two_hosts_or_none_is_refused(browser):
    for hosts in ("", f"Host: 127.0.0.1:{browser.port}\r\nHost: evil.example\r\n"):
        with socket.create_connection(("127.0.0.1", browser.port), timeout=30) as raw:
            request = f"GET / HTTP/1.1\r\n{hosts}Cookie: {browser.cookie}\r\n\r\n"
            raw.sendall(request.encode())
            assert raw.recv(100).split()[1] in (b"400", b"421")


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:{port}"])
def test_other_origins_are_refused_even_with_the_cookie(browser, origin):
    named = {"origin": origin.format(port=browser.port)}
    assert browser.get("/", headers=named).status == 403
    own = {"origin": f"http://127.0.0.1:{browser.port}"}
    assert browser.get("/", headers=own).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_the_viewer_only_reads(browser, method):
    answer = browser.request(method, "/")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    assert browser.request("HEAD", "/").status == 200


@pytest.mark.parametrize("path", EVERY)
def test_every_answer_is_sealed(browser, path):
    for answer in (browser.get(path), browser.get(path, headers={"host": "evil"})):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "script-src 'unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers


def test_it_listens_at_127_0_0_1_and_nowhere_else(browser):
    for elsewhere in ("127.0.0.2", "::1"):
        family = socket.AF_INET6 if ":" in elsewhere else socket.AF_INET
        with socket.socket(family) as other:
            assert other.connect_ex((elsewhere, browser.port)) != 0
