"""``baft data``: verdicts, duplicates, repairs and splits, in the core and on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baft import BaftError, UsageError
from baft.cli import main
from baft.data import DataAudit, Ruler, audit, draw, judge, repair, split
from baft.loader import load_plugins

SYNTHETIC = Path(__file__).parents[2] / "artifacts" / "synthetic"
TRAIN, VAL = SYNTHETIC / "ba_train_v2_fixed.jsonl", SYNTHETIC / "ba_val_v2_fixed.jsonl"

LISTS = {"functional_requirements": "FR", "non_functional_requirements": "NFR", "constraints": "C"}
META = {"meta": {"original_request": "an app"}}


def items(prefix, word="thing", n=2):
    texts = (f"{word} number {i} of {prefix} works" for i in range(1, n + 1))
    return [
        {"id": f"{prefix}{i:03}", "description": text, "priority": "High"}
        for i, text in enumerate(texts, start=1)
    ]


def document(word="thing"):
    lists = {name: items(prefix, word) for name, prefix in LISTS.items()}
    return {"title": f"A {word} app", "description": f"{word} for everybody. " * 8, **lists}


def clean(word="thing", **more):
    return {"concept": f"An app that sells {word}", "requirements": document(word), **more}


def as_text(value):
    return json.dumps(value)  # JSON is YAML


VARIANTS = {
    "A clean": (clean(source="seed"), ""),
    "B strings": (
        {"concept": "x", "requirements": {k: as_text(document()[k]) for k in LISTS}},
        "",
    ),
    "C normalized": ({"input": {"concept": "x", "requirements_yaml": as_text(document())}}, ""),
    "D meta only": (
        {"concept": "x", "requirements": META, "generated_at": "now"},
        "none of the fields",
    ),
    "E wrapped": (
        {"input": {"concept": "x"}, "requirements_yaml": "meta:\n  original_request: an app"},
        "none of the fields",
    ),
    "F broken items": (
        {"concept": "x", "requirements": {"constraints": ["text", {"Description": "half"}]}},
        "item 1 of constraints is text",
    ),
}


class Audited(NamedTuple):
    found: DataAudit
    verdicts: list
    twins: list


@pytest.fixture(scope="module")
def plugins():
    return load_plugins()


@pytest.fixture(scope="module")
def ba(plugins):
    return plugins.role("ba")


@pytest.fixture
def read(ba):
    def read(*rows, file="d.jsonl"):
        raws = (r if isinstance(r, bytes) else json.dumps(r).encode() + b"\n" for r in rows)
        return [judge(file, n, raw, ba) for n, raw in enumerate(raws, start=1)]

    return read


@pytest.fixture
def audited(plugins, ba):
    def audited(*files, against=(), **options):
        metric = plugins.metric("ba_requirements")
        with audit(files, ba, metric, iter(against), **options) as found:
            return Audited(found, list(found.verdicts()), list(found.twins()))

    return audited


@pytest.fixture
def baft(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            main(["data", *map(str, arguments)])
        captured = capsys.readouterr()
        return int(caught.value.code or 0), captured.out, captured.err

    return run


# audit


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_gets_its_verdict(variant, read, audited):
    row, problem = VARIANTS[variant]
    (verdict,) = audited(read(row)).verdicts
    assert problem in verdict.problem
    assert bool(problem) == bool(verdict.problem)
    assert (verdict.file, verdict.line) == ("d.jsonl", 1)


@pytest.mark.parametrize(
    ("raw", "problem"),
    [(b"\xff\n", "can't decode byte 0xff"), (b"{\n", "not valid JSON"), (b"[]\n", "a list")],
)
def test_a_line_that_is_no_row_is_a_verdict_not_a_crash(raw, problem, read, audited):
    found, verdicts, _ = audited(read(raw, clean()))
    assert problem in verdicts[0].problem
    assert (found.invalid, verdicts[1].problem) == (1, "")


SENTENCE = "a club of {} readers wants to lend old novels and swap notes by post every week"


@pytest.mark.parametrize(
    ("first", "second", "kind"),
    [
        (clean(), clean(note="again"), "same inputs"),
        (clean(id="1"), clean("tea", id="1"), "same id"),
        (
            {"concept": SENTENCE.format("busy")},
            {"concept": SENTENCE.format("lazy")},
            "near inputs",
        ),
        (clean(), {**clean("tea"), "requirements": document()}, "near reference"),
        (clean(), clean("tea"), None),
        ({"concept": "tea"}, {"concept": "pot"}, None),
        ({"concept": "tea"}, {"concept": " Tea"}, "near inputs"),
    ],
)
def test_twins_are_found_within_a_file_between_files_and_against(
    first, second, kind, read, audited
):
    one, other = read(first, file="one"), read(second, file="other")
    for found in (
        audited(read(first, second)),
        audited(one, other),
        audited(other, against=one),
    ):
        assert [twin.kind for twin in found.twins] == ([kind] if kind else [])
        assert found.found.is_clean == (kind is None)


def test_twins_within_the_file_audited_against_are_its_own_affair(read, audited):
    known = read(clean(), clean(), file="known")
    assert audited(read(clean("tea")), against=known).found.is_clean


def test_a_line_names_its_twin_in_every_earlier_file(read, audited):
    known = read(clean(), file="known")
    copied = {**clean("tea"), "requirements": document()}
    found = audited(read(copied, copied), against=known)
    places = [(t.line, t.kind, t.earlier_file, t.earlier_line) for t in found.twins]
    assert places == [
        (1, "near reference", "known", 1),
        (2, "same inputs", "d.jsonl", 1),
        (2, "near reference", "known", 1),
    ]


def test_references_below_the_attainable_maximum_are_named_worst_first(read, audited):
    poor = clean("tea")
    del poor["requirements"]["constraints"]
    short = {"concept": "x", "requirements": {"title": "y"}}
    (scores,) = audited(read(clean(), poor, short, {"concept": "no reference"})).found.scores
    assert (scores.n, scores.below_max) == (3, 2)
    assert [low.line for low in scores.worst] == [3, 2]


def test_tags_with_two_to_twelve_values_are_balanced_and_lengths_are_by_field(read, audited):
    rows = [clean(f"w{i}x", lang="es" if i < 5 else "en", n=i, one="1") for i in range(20)]
    (file,) = audited(read(*rows)).found.files
    assert file.tags == {"lang": {"en": 15, "es": 5}}
    spread = file.lengths["functional_requirements"]
    assert (spread.unit, spread.n, spread.min, spread.median, spread.max) == (
        "entries",
        20,
        2,
        2,
        2,
    )
    assert file.lengths["concept"].unit == "characters"


def test_examples_longer_than_the_ruler_allows_are_named_longest_first(read, audited):
    ruler = Ruler(max_length=13, measure=lambda example: len(example.inputs["concept"]))
    rows = [{"concept": "x" * n, "requirements": document(f"w{n}x")} for n in (9, 20, 13, 14)]
    found = audited(read(*rows, {"concept": "y" * 99}), ruler=ruler).found
    (lengths,) = found.lengths
    assert (lengths.spread.n, lengths.spread.max, lengths.over) == (4, 20, 2)
    assert [(long.line, long.tokens) for long in lengths.longest] == [(2, 20), (4, 14)]
    assert not found.is_clean


# fix


def entry(id, **more):
    return {"id": id, "description": "d", "priority": "High", **more}


def ids(*ids, prefix="functional_requirements"):
    return {"concept": "x", "requirements": {prefix: [entry(i) for i in ids]}}


FIXES = [
    (ids("FR1", "FR02", "FR-003", "fr_4"), ids("FR001", "FR002", "FR003", "FR004")),
    (ids(1, "2", "REQ-3", "FR1000"), ids("FR001", "FR002", "FR003", "FR1000")),
    (ids("FR001", "FR1", "FR5"), ids("FR001", "FR006", "FR005")),
    (ids("FR-1.2", "login", None), ids("FR-1.2", "login", None)),
    (ids("FR1", prefix="constraints"), ids("C001", prefix="constraints")),
    (
        {"Concept": "x", "Requirements": {"Title": "t", "constraints": [{"Description": "d"}]}},
        {"concept": "x", "requirements": {"title": "t", "constraints": [{"description": "d"}]}},
    ),
    (
        {"concept": "x", "requirements": {"constraints": "```yaml\n- id: C1\n  cost: 5\n```"}},
        {"concept": "x", "requirements": {"constraints": [{"id": "C001", "cost": 5}]}},
    ),
    (
        {"input": {"concept": "x", "requirements_yaml": "```yaml\ntitle:   t\n```"}},
        {"input": {"concept": "x", "requirements_yaml": "title:   t"}},
    ),
    (
        {"input": {"concept": "x", "requirements_yaml": "title: é\nconstraints:\n- id: C1"}},
        {"input": {"concept": "x", "requirements_yaml": "title: é\nconstraints:\n- id: C001\n"}},
    ),
    (
        {"concept": "x", "requirements": {"constraints": "- id: C1\n  due: 2026-01-02"}},
        {"concept": "x", "requirements": {"constraints": [{"id": "C001", "due": "2026-01-02"}]}},
    ),
    (
        {"concept": "x", "Concept": "y", "requirements": {"title": "t"}},
        {"concept": "x", "Concept": "y", "requirements": {"title": "t"}},
    ),
]


@pytest.mark.parametrize(("row", "fixed"), FIXES)
def test_fix_repairs_the_form_and_nothing_else(row, fixed, read, ba):
    (result,) = repair(read(row), ba)
    assert json.loads(result.after.raw) == fixed
    assert result.is_changed == (row != fixed)
    (again,) = repair([result.after], ba)
    assert not again.is_changed


@pytest.mark.parametrize("variant", VARIANTS)
def test_fix_leaves_what_no_repair_makes_valid(variant, read, ba):
    row, problem = VARIANTS[variant]
    (result,) = repair(read(row), ba)
    assert problem in result.after.problem
    assert result.is_invalid == bool(problem)
    if problem:
        assert result.after.raw == result.before.raw


def test_a_line_without_need_of_repair_keeps_its_bytes_and_its_end(read, ba):
    odd = b'{"concept" :  "caf\\u00e9", "requirements": {"title": 1e0}}\r\n'
    ok = b'{"concept" :  "caf\\u00e9"}\r\n'
    mended = b'{"Concept": "caf\\u00e9"}\r\n'
    repairs = repair(read(odd, ok, mended), ba)
    assert [one.after.raw for one in repairs] == [odd, ok, '{"concept": "café"}\r\n'.encode()]


def test_half_a_surrogate_pair_survives_a_repair(read, ba):
    (result,) = repair(read(b'{"Concept": "x\\ud800"}\n'), ba)
    assert result.after.raw == b'{"concept": "x\\ud800"}\n'


def test_a_role_that_repairs_nothing_is_an_error(role):
    with pytest.raises(UsageError, match="'echo' does not repair"):
        repair([judge("f", 1, b'{"word": "a"}\n', role)], role)


# split

GROUPS = st.lists(st.tuples(st.integers(1, 4), st.sampled_from("abc")), min_size=2, max_size=30)


@given(GROUPS, st.data(), st.integers(0, 5))
def test_a_draw_takes_whole_groups_and_no_more_than_asked(shape, data, seed):
    groups = [group for group, (size, _) in enumerate(shape) for _ in range(size)]
    strata = [ord(stratum) for _, stratum in shape]
    count = data.draw(st.integers(1, len(groups) - 1))
    chosen = draw(groups, strata, count, seed)
    assert chosen == draw(groups, strata, count, seed)
    assert len(chosen) == len(groups)
    assert sum(chosen) <= count
    whole = [
        {held for held, of in zip(chosen, groups, strict=True) if of == g} for g in set(groups)
    ]
    assert all(len(held) == 1 for held in whole)
    left = [size for (size, _), held in zip(shape, whole, strict=True) if held == {0}]
    assert min(left) > count - sum(chosen)  # nothing more would have fitted


@given(st.lists(st.sampled_from([0, 1, 2]), min_size=2, max_size=60), st.data())
def test_a_draw_without_near_duplicates_is_exact_and_in_proportion(strata, data):
    count = data.draw(st.integers(1, len(strata) - 1))
    chosen = draw(range(len(strata)), strata, count, 1)
    assert sum(chosen) == count
    for stratum in set(strata):
        quota = strata.count(stratum) * count / len(strata)
        held = sum(h for h, of in zip(chosen, strata, strict=True) if of == stratum)
        assert abs(held - quota) < 1


def test_a_split_is_seeded_and_keeps_near_duplicates_together(read):
    rows = [clean(f"w{i // 2}x", number=i) for i in range(20)]
    lines = read(*rows)
    found = split(iter(lines), 6, seed=3)
    assert (found.n, found.wanted, len(found.held_out)) == (6, 6, 20)
    assert found.held_out[::2] == found.held_out[1::2]
    assert split(lines, 0.3, seed=3) == found
    assert any(split(lines, 6, seed=seed) != found for seed in range(4, 9))


@pytest.mark.parametrize(
    ("rows", "count", "tags", "message"),
    [
        ([clean(), VARIANTS["D meta only"][0]], 1, (), "line 2: requirements holds meta"),
        ([clean(), clean("tea")], 2, (), "cannot be set apart"),
        ([clean(), clean("tea")], 0, (), "cannot be set apart"),
        ([clean(lang="en"), clean("tea")], 1, ("lnag",), "Did you mean 'lang'"),
        ([clean(), clean(), clean(), clean()], 2, (), "must stay together"),
        ([clean(), clean("tea")], 0.1, (), "cannot be set apart"),
    ],
)
def test_what_cannot_be_split_is_an_error(rows, count, tags, message, read):
    with pytest.raises(BaftError) as caught:
        split(read(*rows), count, stratify=tags)
    assert message in str(caught.value)


# the command line


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
