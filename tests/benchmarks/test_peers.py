"""The table beside peers: its own rows at a small size, and promptfoo's metric."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from baft import Example, Generation
from baft.loader import load_plugins

SPEED = Path(__file__).parents[2] / "benchmarks" / "speed"
PROMPTFOO = Path.home() / ".cache" / "baft-peers" / "promptfoo" / "node_modules"
NODE = next(PROMPTFOO.glob("node-*/bin/node"), None)


@pytest.mark.slow
def test_baft_and_the_loop_score_the_same_and_an_absent_peer_is_named(tmp_path: Path) -> None:
    command = [
        sys.executable, str(SPEED / "peers.py"), "--examples", "20", "--rounds", "1",
        "--delay-ms", "5", "--peers", str(tmp_path), "--only", "aiohttp loop", "baft", "lm-eval",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    head, _, *lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines()
    ]
    loop, own, absent = (dict(zip(head, line, strict=True)) for line in lines)
    assert own["mean score"] == loop["mean score"] == "0.9286"
    for row in (loop, own):
        assert float(row["wall"].removesuffix(" s")) > 0
        assert float(row["CPU"].removesuffix(" s")) > 0
        assert float(row["peak memory"].removesuffix(" MiB")) > 10
    assert absent["wall"] == "not installed"


ITEMS = [{"id": f"FR00{i}", "description": "It works.", "priority": "High"} for i in range(1, 4)]
GOOD = {
    "title": "A bakery shop",
    "description": "Bread for everyone, " * 6,
    "functional_requirements": ITEMS,
    "non_functional_requirements": [{**one, "id": f"N{one['id']}"} for one in ITEMS],
    "constraints": [{**one, "id": one["id"].replace("FR", "C")} for one in ITEMS],
}


@pytest.mark.skipif(NODE is None, reason="promptfoo is not installed: peers.py --install")
@pytest.mark.parametrize(
    "answer",
    [
        yaml.safe_dump(GOOD),
        yaml.safe_dump({**GOOD, "title": "Short"}),
        yaml.safe_dump({**GOOD, "title": "", "description": None}),
        yaml.safe_dump({**GOOD, "constraints": []}),
        yaml.safe_dump({**GOOD, "constraints": "[]"}),
        yaml.safe_dump({**GOOD, "constraints": yaml.safe_dump(GOOD["constraints"])}),
        yaml.safe_dump({**GOOD, "constraints": ["one", "two"]}),
        yaml.safe_dump({**GOOD, "constraints": ITEMS[:1]}),
        yaml.safe_dump({**GOOD, "functional_requirements": [{"id": "FR1"}, {"id": "FRx"}]}),
        "no document",
        "",
    ],
)
def test_the_metric_for_promptfoo_scores_as_ours_does(answer: str) -> None:
    plugins = load_plugins()
    role = plugins.role("ba")
    prediction = role.parse(Generation(example_id="1", text=answer), "lenient")
    example = Example(id="1", inputs={"concept": "A bakery"})
    expected = plugins.metric(role.metric).score(example, prediction).value
    module = json.dumps(str(SPEED / "peers-jobs" / "promptfoo_assert.cjs"))
    script = f"console.log(require({module})({json.dumps(answer)}).score)"
    found = subprocess.run(
        [str(NODE), "-e", script],
        env={"NODE_PATH": str(PROMPTFOO)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(found.stdout) == pytest.approx(expected)
