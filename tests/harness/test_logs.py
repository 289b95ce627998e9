"""The log of a run: what happened, line by line, and no secret."""

from __future__ import annotations

import logging
import re

import pytest

from baft import UsageError
from baft.logs import logged_to, secrets_in


def test_lines_have_time_level_and_place_and_stay_one_line(tmp_path):
    with logged_to(tmp_path / "run.log", "info", {}):
        logging.getLogger("baft.engine").warning("one\ntwo \ud800")
        logging.getLogger("baft.engine").debug("unseen")
        logging.getLogger("elsewhere").error("unseen")
    logging.getLogger("baft.engine").error("too late")
    (line,) = (tmp_path / "run.log").read_text().splitlines()
    pattern = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING baft\.engine: one ⏎ two .*"
    assert re.fullmatch(pattern, line)


def test_secrets_are_blotted_out_also_in_tracebacks(tmp_path):
    env = {"OPENAI_API_KEY": "sk-secret-1", "HF_TOKEN": "hf-secret-2", "PATH": "/usr/bin"}
    with logged_to(tmp_path / "run.log", "debug", env):
        log = logging.getLogger("baft.x")
        log.info("sent sk-secret-1 and %s by /usr/bin", "hf-secret-2")
        try:
            raise ValueError("Bearer sk-secret-1")
        except ValueError:
            log.exception("failed")
    text = (tmp_path / "run.log").read_text()
    assert "secret-" not in text
    assert text.count("***") == 4  # two in the first, line and error in the second
    assert "/usr/bin" in text


def test_what_counts_as_a_secret():
    env = {"MY_PASSWORD": "longer-one", "API_KEY": "short", "github_token": "abcdef", "HOME": "/h"}
    assert secrets_in(env) == ("longer-one", "abcdef")


def test_passwords_in_addresses_are_secrets_too(tmp_path):
    env = {
        "OLLAMA_HOST": "https://me:p%40ssword@gpu-box:443",
        "HTTPS_PROXY": "http://user:proxy-pass@proxy:3128",
        "PLAIN": "http://gpu-box:11434/path:with@sign",
    }
    assert set(secrets_in(env)) == {"proxy-pass", "p%40ssword", "p@ssword"}
    with logged_to(tmp_path / "run.log", "info", env):
        logging.getLogger("baft").error("no way through http://user:proxy-pass@proxy:3128")
    assert "http://user:***@proxy:3128" in (tmp_path / "run.log").read_text()


def test_it_appends_and_an_unknown_level_is_refused(tmp_path):
    for word in ("first", "second"):
        with logged_to(tmp_path / "run.log", "error", {}):
            logging.getLogger("baft").error(word)
    assert len((tmp_path / "run.log").read_text().splitlines()) == 2
    with pytest.raises(UsageError, match="loud"), logged_to(tmp_path / "x.log", "loud", {}):
        pass
