"""The shipped data is what its card says."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from baft import Generation, Prediction
from baft.audit import words_of
from baft.loader import load_plugins
from baft.store import file_sha256, find_benchmark, read_dataset

FOLDER = Path(__file__).parents[1] / "artifacts" / "synthetic"
TRAIN, VAL = FOLDER / "ba_train_v2_fixed.jsonl", FOLDER / "ba_val_v2_fixed.jsonl"
LISTS = {
    "functional_requirements": ("FR", 4, 8),
    "non_functional_requirements": ("NFR", 3, 6),
    "constraints": ("C", 2, 4),
}


def rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


ALL = [*rows(TRAIN), *rows(VAL)]


def test_there_are_98_and_22():
    assert (len(rows(TRAIN)), len(rows(VAL))) == (98, 22)


@pytest.mark.parametrize("path", [TRAIN, VAL])
def test_every_reference_reaches_the_attainable_maximum(path):
    plugins = load_plugins()
    role, metric = plugins.role("ba"), plugins.metric("ba_requirements")
    for example in read_dataset(path, role).examples:
        prediction = Prediction(fields=example.reference, validity="as_is")
        assert metric.score(example, prediction).value == metric.attainable_max


def test_lists_have_the_promised_lengths_ids_and_priorities():
    for row in ALL:
        for key, (prefix, least, most) in LISTS.items():
            items = row["requirements"][key]
            assert least <= len(items) <= most, row["concept"]
            assert [i["id"] for i in items] == [f"{prefix}{n:03}" for n in range(1, len(items) + 1)]
            assert {i["priority"] for i in items} <= {"High", "Medium", "Low"}
            assert all(list(i) == ["id", "description", "priority"] for i in items)


def test_descriptions_have_100_to_600_characters():
    assert all(100 <= len(row["requirements"]["description"]) <= 600 for row in ALL)


def test_languages_tiers_and_industries_are_balanced():
    langs = Counter(row["lang"] for row in ALL)
    assert langs == {"en": 90, "es": 30}
    assert Counter(row["tier"] for row in ALL) == {"simple": 40, "medium": 40, "corporate": 40}
    assert len({row["industry"] for row in ALL}) >= 40


def test_no_two_examples_are_about_the_same_words():
    """No pair of concepts shares more than half of its words, within or across the files."""
    concepts = [set(words_of(row["concept"])) for row in ALL]
    for i, one in enumerate(concepts):
        for other in concepts[:i]:
            assert len(one & other) / len(one | other) < 0.5


def test_no_sentence_occurs_twice():
    texts = Counter(
        item["description"] for row in ALL for key in LISTS for item in row["requirements"][key]
    )
    assert texts.most_common(1)[0][1] == 1


def test_no_text_needs_quoting():
    def texts(value):
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            for item in value:
                yield from texts(item)
        else:
            for item in value.values():
                yield from texts(item)

    for row in ALL:
        for text in texts(row["requirements"]):
            dumped = yaml.safe_dump(text, allow_unicode=True, width=10**9)
            assert re.sub(r"\n(\.\.\.\n)?$", "", dumped) == text


def test_the_concepts_words_reach_the_reference():
    for row in ALL:
        concept = {w for w in words_of(row["concept"]) if len(w) > 3}
        found = concept & set(words_of(row["requirements"]))
        assert len(found) / len(concept) >= 0.6, row["concept"]


@pytest.mark.parametrize(
    ("role", "file"),
    [
        ("product_owner", "product_owner_examples.jsonl"),
        ("architect", "architect_examples.jsonl"),
        ("architect_stories", "architect_examples.jsonl"),
        ("architect_arch", "architect_examples.jsonl"),
        ("qa", "qa_stories.jsonl"),
        ("qa_report", "qa_implementations.jsonl"),
    ],
)
def test_a_roles_references_reach_the_attainable_maximum(role, file):
    plugins = load_plugins()
    reader = plugins.role(role)
    metric = plugins.metric(reader.metric)
    examples = read_dataset(FOLDER / file, reader).examples
    assert len(examples) >= 6
    for example in examples:
        prediction = reader.parse(written(reader, example), "strict")
        assert metric.score(example, prediction).value == metric.attainable_max, example.id


def written(role, example):
    """What a model would write that answers with the reference."""
    return Generation(example_id=example.id, text=role.target(example))


@pytest.mark.parametrize("role", ["product_owner", "architect"])
def test_example_answers_are_for_training_concepts_and_say_different_things(role):
    found = rows(FOLDER / f"{role}_examples.jsonl")
    training = {row["concept"]: row for row in rows(TRAIN)}
    for row in found:
        source = training[row["input"]["concept"]]
        assert yaml.safe_load(row["input"]["requirements_yaml"]) == source["requirements"]
        assert (row["tier"], row["lang"]) == (source["tier"], source["lang"])
    texts = [set(words_of(row["output"])) for row in found]
    for i, one in enumerate(texts):
        assert all(len(one & other) / len(one | other) < 0.5 for other in texts[:i])


def test_the_architects_examples_build_on_the_product_owners():
    visions = {
        row["input"]["concept"]: row["output"]["product_vision"]
        for row in rows(FOLDER / "product_owner_examples.jsonl")
    }
    for row in rows(FOLDER / "architect_examples.jsonl"):
        assert row["input"]["product_vision"] == visions[row["input"]["concept"]]


def test_a_review_names_only_requirements_that_there_are():
    for row in rows(FOLDER / "product_owner_examples.jsonl"):
        known = re.findall(r"(?<!\w)(?:FR|NFR|C)\d{3}", row["input"]["requirements_yaml"])
        named = re.findall(r"(?<!\w)(?:FR|NFR|C)\d{3}", row["output"]["product_owner_review"])
        assert set(named) == set(known)


def test_the_card_and_the_benchmarks_name_the_files_hashes():
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert file_sha256(TRAIN) in card
    assert file_sha256(VAL) in card
    for name in ("ba", "pocket"):
        assert find_benchmark(name, None).dataset_sha256 == file_sha256(VAL)
