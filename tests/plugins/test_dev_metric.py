"""The developer's metric: every component by an answer that loses it, and answers that cheat."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from baft import Prediction, UsageError
from baft_dev import sandbox, tools
from baft_dev.metric import DeveloperCodeMetric
from baft_dev.role import Developer

pytestmark = pytest.mark.skipif(bool(sandbox.problem()), reason=sandbox.problem())

CODE = '''"""Cart."""


def cart_total(items):
    """Sum of price times quantity."""
    if any(quantity < 0 for _, quantity in items):
        raise ValueError("a negative quantity is refused")
    return sum(price * quantity for price, quantity in items)
'''
TESTS = """import pytest

from shop.cart import cart_total


def test_total_is_the_sum():
    assert cart_total([(2, 3)]) == 6


def test_a_negative_quantity_is_refused():
    with pytest.raises(ValueError):
        cart_total([(1, -1)])
"""
EXAMPLE = Developer().example(
    {
        "story": {
            "title": "Total of the cart",
            "description": "As a shopper I want to see the total.",
            "acceptance": ["The sum of price times quantity", "A negative quantity is refused"],
        }
    }
)


@pytest.fixture(scope="module")
def metric():
    return DeveloperCodeMetric()


def lost(metric, files):
    """Points lost by component."""
    entries = [{"path": path, "content": content} for path, content in files.items()]
    fields = {"code_files": entries}
    score = metric.score(EXAMPLE, Prediction(fields=fields, validity="as_is"))
    assert score.value == pytest.approx(sum(score.components.values()) / 100)
    most = metric.components
    return {n: round(most[n] - p, 3) for n, p in score.components.items() if p < most[n] - 1e-9}


def test_the_components_are_those_of_the_plan_with_25_points_each(metric):
    parts = {}
    for name, points in metric.components.items():
        part = name.partition("_")[0]
        parts[part] = parts.get(part, 0) + points
    assert parts == {"syntax": 25, "tests": 25, "story": 25, "quality": 25}
    assert metric.version == 0


def test_a_good_answer_loses_nothing(metric):
    assert lost(metric, {"shop/cart.py": CODE, "tests/test_cart.py": TESTS}) == {}


def test_code_without_tests_loses_the_points_of_tests(metric):
    assert lost(metric, {"shop/cart.py": CODE}) == {
        "tests_collected": 10,
        "tests_per_function": 10,
        "tests_assert": 5,
    }
    assert metric.ceilings["without tests"] == 0.75


def test_an_import_that_is_nowhere_is_not_collected(metric):
    bad = TESTS.replace("import pytest", "import numpy\nimport pytest").replace("(2, 3)", "(2, 3)")
    found = lost(metric, {"shop/cart.py": CODE, "tests/test_cart.py": bad})
    assert found["syntax_imports"] == pytest.approx(10 / 3, abs=0.001)
    assert (found["tests_collected"], found["tests_per_function"]) == (10, 10)


def test_a_file_that_does_not_compile_costs_its_share(metric):
    files = {"shop/cart.py": CODE, "tests/test_cart.py": TESTS, "shop/more.py": "def x(:\n"}
    found = lost(metric, files)
    assert found["syntax_compile"] == 5
    assert found == {"syntax_compile": 5}


def test_a_name_that_leads_out_counts_as_a_file_that_does_not_compile(metric):
    files = {"shop/cart.py": CODE, "tests/test_cart.py": TESTS, "../../evil.py": "x = 1\n"}
    assert lost(metric, files) == {"syntax_compile": 5}


def test_tests_that_assert_nothing(metric):
    empty = "from shop.cart import cart_total\n\n\ndef test_it():\n    cart_total([])\n"
    assert lost(metric, {"shop/cart.py": CODE, "tests/test_cart.py": empty}) == {"tests_assert": 5}


def test_code_for_another_story(metric):
    other = '"""Birds."""\n\n\ndef sing(loud):\n    """Sing."""\n    return "la" * loud\n'
    tests = "from birds import sing\n\n\ndef test_sing():\n    assert sing(2)\n"
    found = lost(metric, {"birds.py": other, "tests/test_birds.py": tests})
    assert found == {"story_criteria": 15, "story_names": 10}


def test_findings_of_ruff_cannot_be_silenced_by_the_answer(metric):
    bad = CODE.replace('"""Cart."""', '"""Cart."""\nimport os  # noqa\n# ruff: noqa')
    config = "lint.select = []\nexclude = ['*']\n"
    found = lost(metric, {"shop/cart.py": bad, "tests/test_cart.py": TESTS, "ruff.toml": config})
    assert found["quality_lint"] > 0


def test_copies_and_missing_docstrings(metric):
    twice = "\n\ndef cart_{}(items):\n    total = sum(items)\n    return total\n"
    code = CODE + twice.format("sum") + twice.format("price")
    found = lost(metric, {"shop/cart.py": code, "tests/test_cart.py": TESTS})
    assert found["quality_docstrings"] == pytest.approx(5 * 2 / 3, abs=0.001)
    assert found["quality_unique"] == pytest.approx(5 / 3, abs=0.001)
    assert found["tests_per_function"] == pytest.approx(10 / 3, abs=0.001)


def test_collected_tests_must_be_written_in_the_file(metric):
    forged = (
        "import os\n"
        'print("tests/test_cart.py::test_a\\ntest_b.py::test_b", flush=True)\n'
        "os._exit(0)\n\n\ndef test_c():\n    assert True\n"
    )
    found = lost(metric, {"shop/cart.py": CODE, "tests/test_cart.py": forged})
    assert (found["tests_collected"], found["tests_per_function"]) == (10, 10)


def test_an_answer_cannot_take_the_place_of_a_tool(metric):
    shadows = {name: "raise SystemExit(0)\n" for name in ("ast.py", "json.py", "pytest.py")}
    found = lost(metric, {"shop/cart.py": CODE, "tests/test_cart.py": TESTS, **shadows})
    assert "tests_collected" not in found
    assert "syntax_compile" not in found


def test_source_that_brings_a_compiler_down_is_only_a_file_that_does_not_compile(metric):
    deep = {"deep.py": "(" * 50_000 + ")" * 50_000, "deeper.py": "x = " + "-" * 5_000 + "1"}
    found = lost(metric, {"shop/cart.py": CODE, "tests/test_cart.py": TESTS, **deep})
    assert found == {"syntax_compile": 7.5}


def test_source_that_brings_ruff_down_gets_no_points_for_lint():
    assert tools._lint({"a.py": "x = 1\n"}, sandbox.Limits(memory=2**20)) == math.inf
    assert tools._lint({"a.py": "x = 1\n"}, None) == 0


@pytest.mark.parametrize("value", [None, [], "x", [{"path": "a.js", "content": "x"}], {"path": 1}])
def test_no_python_is_no_points(metric, value):
    score = metric.score(EXAMPLE, Prediction(fields={"code_files": value}, validity="none"))
    assert score.value == 0


def test_an_endless_import_costs_its_processor_time_and_no_more():
    files = {"tests/test_x.py": "def test_x():\n    assert True\n\n\nwhile True:\n    pass\n"}
    findings = tools.examine(files, sandbox.Limits(cpu_s=1))
    assert (set(findings.facts), findings.collected) == ({"tests/test_x.py"}, frozenset())


@pytest.mark.parametrize("missing", ["ruff", "pytest"])
def test_a_missing_tool_is_named_with_what_to_install(monkeypatch, missing):
    find = tools.importlib.util.find_spec
    monkeypatch.setattr(
        tools.importlib.util, "find_spec", lambda name: None if name == missing else find(name)
    )
    with pytest.raises(UsageError, match=rf'needs {missing}.*pip install "baft\[dev-role\]"'):
        DeveloperCodeMetric()


@pytest.mark.slow
def test_the_shipped_references_are_good_code():
    metric, role = DeveloperCodeMetric(), Developer()
    path = Path(__file__).parents[2] / "artifacts" / "synthetic" / "dev_stories.jsonl"
    for line in path.read_text(encoding="utf-8").splitlines():
        example = role.example(json.loads(line))
        score = metric.score(example, Prediction(fields=example.reference, validity="as_is"))
        assert score.value >= 0.85, example.id
