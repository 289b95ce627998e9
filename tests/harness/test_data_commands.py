"""``baft data`` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from baft.cli import main
from data_rows import VARIANTS, clean, ids

SYNTHETIC = Path(__file__).parents[2] / "artifacts" / "synthetic"
TRAIN, VAL = SYNTHETIC / "ba_train_v2_fixed.jsonl", SYNTHETIC / "ba_val_v2_fixed.jsonl"


@pytest.fixture
def baft(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            main(["data", *map(str, arguments)])
        captured = capsys.readouterr()
        return int(caught.value.code or 0), captured.out, captured.err

    return run


def test_the_shipped_data_is_clean(baft):
    code, out, _ = baft("audit", TRAIN, "--against", VAL)
    assert code == 0
    assert "98 lines, 98 valid, 98 with a reference" in out
    assert "mean, n = 98" in out
    assert "0 below it" in out


def test_audit_exits_with_2_and_says_what_to_do(baft, write_lines):
    path = write_lines("d.jsonl", [clean(), VARIANTS["E wrapped"][0], clean()])
    code, out, _ = baft("audit", path)
    assert code == 2
    assert "d.jsonl, line 2: requirements holds meta" in out
    assert "d.jsonl, line 3: same inputs as" in out
    assert "Next: baft data fix" in out
    assert "line 1: ok" in baft("audit", path, "-v")[1]
    code, out, _ = baft("audit", path, "--json")
    found = json.loads(out)
    assert (code, found["clean"], len(found["verdicts"])) == (2, False, 3)
    assert found["twins"][0]["kind"] == "same inputs"


def test_stats_describes(baft):
    code, out, _ = baft("stats", VAL, "--json")
    found = json.loads(out)
    assert (code, found["lines"], found["tags"]["lang"]) == (0, 22, {"en": 17, "es": 5})
    assert "lang: en 17, es 5" in baft("stats", VAL)[1]


@pytest.mark.parametrize(("val", "n"), [("22", 22), ("0.25", 24), ("50%", 49)])
def test_split_writes_the_lines_byte_for_byte(val, n, baft, tmp_path):
    code, out, err = baft(
        "split", TRAIN, "--output", "parts", "--val", val, "--stratify", "lang,tier"
    )
    assert (code, err) == (0, "")
    train = (tmp_path / "parts" / "train.jsonl").read_bytes().splitlines(keepends=True)
    held = (tmp_path / "parts" / "val.jsonl").read_bytes().splitlines(keepends=True)
    given = TRAIN.read_bytes().splitlines(keepends=True)
    assert len(held) == n
    assert [line for line in given if line not in held] == train
    assert [line for line in given if line in held] == held
    assert f"val.jsonl: {n}" in out


def test_split_overwrites_only_when_forced_and_never_its_source(baft, write_lines):
    path = write_lines("train.jsonl", [clean(f"w{i}x") for i in range(6)])
    before = path.read_bytes()
    for flags in ((), ("--force",)):
        code, _, err = baft("split", path, "--output", ".", *flags)
        assert (code, path.read_bytes()) == (2, before)
        assert "is the dataset itself" in err
    assert baft("split", path, "--output", "new")[0] == 0
    assert "exists already" in baft("split", path, "--output", "new")[2]
    code, out, _ = baft("split", path, "--output", "new", "--force", "--json")
    assert (code, json.loads(out)["val"]["n"]) == (0, 1)


def test_split_says_when_near_duplicates_leave_fewer(baft, write_lines):
    path = write_lines("d.jsonl", [clean(f"w{i // 2}x", n=i) for i in range(8)])
    assert "2 instead of 3" in baft("split", path, "--output", "p", "--val", "3")[2]


def test_a_mark_at_the_start_and_a_missing_end_belong_to_the_file(baft, tmp_path):
    lines = [json.dumps(clean(f"w{i}x")).encode() for i in range(5)]
    (tmp_path / "d.jsonl").write_bytes(b"\xef\xbb\xbf" + b"\r\n\n".join(lines))
    assert baft("split", "d.jsonl", "--output", "p", "--val", "2")[0] == 0
    parts = [(tmp_path / "p" / f"{name}.jsonl").read_bytes() for name in ("train", "val")]
    got = [line.rstrip(b"\r") for part in parts for line in part.split(b"\n") if line]
    assert sorted(got) == sorted(lines)


def test_fix_shows_a_diff_and_writes_nothing_unless_told(baft, write_lines, tmp_path):
    path = write_lines("d.jsonl", [clean(), ids("FR1"), VARIANTS["D meta only"][0]])
    before = path.read_bytes()
    code, out, err = baft("fix", path)
    assert code == 2
    assert '-        "id": "FR1",' in out
    assert '+        "id": "FR001",' in out
    assert "d.jsonl, line 3: cannot be repaired: requirements holds meta" in err
    assert "3 lines; nothing was written" in err
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["d.jsonl"]


def test_fix_writes_another_file_or_the_file_itself(baft, write_lines):
    path = write_lines("d.jsonl", [clean(), ids("FR1"), VARIANTS["D meta only"][0]])
    code, _, err = baft("fix", path, "--output", "new.jsonl", "--drop-invalid")
    assert code == 0
    assert "1 changed, 1 dropped, 2 lines in new.jsonl" in err
    assert baft("audit", "new.jsonl")[0] == 0
    assert "exists already" in baft("fix", path, "--output", "new.jsonl")[2]
    assert "is the dataset itself" in baft("fix", path, "--output", path, "--force")[2]
    assert "Choose one" in baft("fix", path, "--output", "x.jsonl", "--in-place")[2]
    code, out, _ = baft("fix", path, "--output", "new.jsonl", "--force", "--json")
    found = json.loads(out)
    assert (code, found["changed"], found["invalid"]) == (2, 1, 1)
    assert [(f["line"], f["changed"]) for f in found["findings"]] == [(2, True), (3, False)]
    assert baft("fix", path, "--in-place", "--drop-invalid", "-q")[0] == 0
    assert path.read_text() == (path.parent / "new.jsonl").read_text().rpartition('{"concept"')[0]


def test_a_line_that_is_no_text_is_written_as_it_is(baft, tmp_path):
    broken = b'{"concept": "caf\xe9"}'
    (tmp_path / "d.jsonl").write_bytes(broken + b'\n{"Concept": "x"}')
    assert baft("fix", "d.jsonl", "--output", "new.jsonl")[0] == 2
    assert (tmp_path / "new.jsonl").read_bytes() == broken + b'\n{"concept": "x"}\n'


def test_fix_that_would_leave_nothing_leaves_the_file(baft, write_lines):
    path = write_lines("d.jsonl", [VARIANTS["D meta only"][0]])
    before = path.read_bytes()
    code, _, err = baft("fix", path, "--in-place", "--drop-invalid")
    assert (code, path.read_bytes()) == (2, before)
    assert "none would be left" in err


@pytest.mark.parametrize("command", [("audit",), ("stats",), ("fix",), ("split", "--output", "o")])
def test_an_empty_or_missing_file_is_an_error_that_names_it(command, baft, write_lines):
    path = write_lines("empty.jsonl", ["\n", "  \n"])
    name, *options = command
    assert "empty.jsonl holds no line" in baft(name, path, *options)[2]
    assert "There is no dataset at nowhere" in baft(name, "nowhere", *options)[2]
