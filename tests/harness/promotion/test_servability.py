"""The winner is asked one example before anything is written."""

from __future__ import annotations

import asyncio

import pytest

from baft import BackendError, Decoding, Generation, Score, UsageError
from baft.records import Limits

from .conftest import Analyst, FileModel, Titled, is_untouched, make_plugins


@pytest.fixture
def refused(adopt, winner, config, project):
    def refused(match, error=UsageError, **parts):
        with pytest.raises(error, match=match) as caught:
            adopt(winner, plugins=make_plugins(**parts))
        assert is_untouched(config, project)
        return caught.value

    return refused


def test_a_winner_that_answers_as_measured_is_servable(adopt, make_model, make_run):
    asked = []

    class Noting(FileModel):
        async def generate(self, prompts, decoding):
            asked.append((prompts, decoding))
            return await super().generate(prompts, decoding)

    decoding = Decoding(temperature=0.0, max_tokens=99, seed=7)
    run = make_run(f"lora:{make_model()}", decoding=decoding)

    found = adopt(run, plugins=make_plugins(model=Noting)).servability

    [([prompt], used)] = asked
    assert used == decoding
    assert prompt.example_id == found.example_id
    assert (found.is_evaluated, found.prompt) == (True, "tokens")
    assert (found.finish_reason, found.validity) == ("stop", "as_is")
    assert (found.score, found.measured_score) == (0.9, 0.9)


def test_it_is_asked_what_it_answered_best(adopt, make_model, make_run, make_results):
    run = make_run(f"lora:{make_model()}")
    values = make_results(run, [0.3, 0.8, 0.8])

    found = adopt(run, plugins=make_plugins(metric=scoring(0.8))).servability

    assert found.measured_score == 0.8
    assert found.example_id == list(values)[1]


def scoring(value):
    class Other(Titled):
        def score(self, example, prediction):
            return Score(value=value)

    return Other


def test_another_model_than_the_evaluated_one_is_refused(
    adopt, winner, make_model, config, project
):
    other = make_model("other", answer="title: Other\n")

    with pytest.raises(UsageError, match="not the model that was evaluated"):
        adopt(winner, spec=f"lora:{other}")
    assert is_untouched(config, project)


def test_another_prompt_than_the_evaluated_one_is_refused(refused):
    class Changed(Analyst):
        words = "The concept"

    refused("renders another prompt", role=Changed)


def test_other_tokens_than_the_evaluated_ones_are_refused(refused):
    class Beginning(FileModel):
        def tokens(self, prompt):
            return [1, *super().tokens(prompt)]

    refused(r"other tokens than the evaluated one \(26 of them, 25 in the run\)", model=Beginning)


def test_a_prompt_without_tokens_is_compared_by_its_messages(adopt, winner):
    class Serving(FileModel):
        async def generate(self, prompts, decoding):
            ended = {"text": self.text, "finish_reason": "stop"}
            return [Generation(example_id=prompt.example_id, **ended) for prompt in prompts]

    assert adopt(winner, plugins=make_plugins(model=Serving)).servability.prompt == "messages"


def answering(text=None, ends="stop"):
    class Changed(FileModel):
        finish = ends

        async def generate(self, prompts, decoding):
            self.text = self.text if text is None else text
            return await super().generate(prompts, decoding)

    return Changed


@pytest.mark.parametrize(
    ("text", "ends", "message"),
    [
        (None, "length", "was cut off by a limit"),
        (None, "unknown", "does not end by itself any more"),
        ("no document", "stop", "holds no document"),
        ("needs: []", "stop", "scores 0.2000; the lowest in the run was 0.9000"),
    ],
)
def test_a_winner_that_answers_otherwise_is_refused(refused, text, ends, message):
    error = refused(message, model=answering(text, ends))

    assert "Nothing was changed" in error.hint


def test_another_answer_that_scores_within_the_run_is_fine(adopt, winner):
    found = adopt(winner, plugins=make_plugins(model=answering("title: Another"))).servability

    assert (found.score, found.measured_score) == (0.9, 0.9)


def test_answers_that_did_not_parse_set_no_bound(adopt, make_model, make_run, make_results):
    run = make_run(f"lora:{make_model()}")
    make_results(run, [0.0, 0.8, 0.7], validity=["none", "as_is", "as_is"])

    with pytest.raises(UsageError, match=r"lowest in the run was 0\.7000"):
        adopt(run, plugins=make_plugins(model=answering("needs: []")))


def test_a_metric_that_says_otherwise_of_the_same_answer_is_refused(refused):
    refused("the metric gives .* 0.9500, and gave it 0.9000 in the run", metric=scoring(0.95))


def test_a_metric_that_fails_is_refused(refused):
    class Failing(Titled):
        def score(self, example, prediction):
            raise RuntimeError("no judge")

    refused("cannot be scored .*no judge", metric=Failing)


def test_a_model_that_is_down_is_refused(refused):
    class Down(FileModel):
        async def generate(self, prompts, decoding):
            raise BackendError("The model is down.", "Start it.", gone=True)

    refused("is down", error=BackendError, model=Down)


def test_a_model_that_crashes_is_refused(refused):
    class Crashing(FileModel):
        async def generate(self, prompts, decoding):
            raise ZeroDivisionError("by zero")

    refused("fails to answer .*by zero", model=Crashing)


def test_a_model_that_hangs_is_given_up(adopt, make_model, make_run, config, project):
    class Hanging(FileModel):
        async def generate(self, prompts, decoding):
            await asyncio.sleep(60)

    run = make_run(f"lora:{make_model()}", limits=Limits(timeout_s=0.01))

    with pytest.raises(BackendError, match=r"no answer within 0\.01 s"):
        adopt(run, plugins=make_plugins(model=Hanging))
    assert is_untouched(config, project)
