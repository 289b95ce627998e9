"""The circuit breaker: a server that is gone costs one probe, and what it lost stays to resume."""

from __future__ import annotations

import asyncio

import pytest

from baft import BackendError, Generation, Message, Prompt
from baft.executors import ArmGone, ask_here, breaker
from baft.records import Decoding, Limits

LIMITS = Limits(concurrency=4, retries=1, backoff_s=0.001, timeout_s=5)
DROPPED = BackendError("The connection was dropped.", retryable=True)
REFUSED = BackendError("No server answers.", "Start it.", retryable=True, gone=True)


class Server:
    """Answers every call by its number, from 1, unless ``fault`` gives an error for it."""

    spec, batch_size, max_concurrency = "fake:x", 1, None

    def __init__(self, fault):
        self.fault, self.calls = fault, []

    async def generate(self, prompts, decoding):
        (prompt,) = prompts
        self.calls.append(prompt.example_id)
        error = self.fault(len(self.calls), prompt.example_id)
        await asyncio.sleep(0)
        if error is not None:
            raise error
        return [Generation(example_id=prompt.example_id, text="ok")]


def ask(server, n=30, limits=LIMITS):
    """What was delivered, by example: True for an answer; and why the arm stopped, if it did."""
    delivered = {}

    async def deliver(outcome):
        for generation in outcome.generations:
            assert generation.example_id not in delivered
            delivered[generation.example_id] = True
        if outcome.failure is not None:
            assert outcome.failure.example_id not in delivered
            delivered[outcome.failure.example_id] = False

    prompts = [
        Prompt(example_id=f"e{i}", inputs={}, messages=(Message(role="user", content=str(i)),))
        for i in range(n)
    ]
    try:
        asyncio.run(ask_here(server, prompts, Decoding(), limits, deliver))
    except* ArmGone as group:
        problem = str(group.exceptions[0])
    else:
        problem = ""
    return delivered, problem


def test_a_server_that_drops_everything_is_given_up_and_what_it_lost_stays_unanswered():
    server = Server(lambda call, _: DROPPED if call > 10 else None)
    delivered, problem = ask(server)
    assert set(delivered.values()) == {True}
    assert len(delivered) == 10
    assert problem == "8 requests in a row failed: The connection was dropped."
    assert len(server.calls) < 10 + 2 * 10 + 1  # tries of those under way, and one probe


def test_a_server_that_refuses_connections_is_probed_once():
    server = Server(lambda call, _: REFUSED if call > 10 else None)
    delivered, problem = ask(server)
    assert len(delivered) == 10
    assert problem == "No server answers. Start it."
    assert len(server.calls) == 10 + 4 * 2 + 1


@pytest.mark.parametrize(("error", "until"), [(DROPPED, 26), (REFUSED, 18)])
def test_a_server_that_comes_back_is_asked_for_everything_again(error, until):
    server = Server(lambda call, _: error if 10 < call <= until else None)
    delivered, problem = ask(server)
    assert (len(delivered), set(delivered.values()), problem) == (30, {True}, "")


def test_what_fails_while_others_are_answered_has_failed():
    server = Server(lambda _, id_: DROPPED if id_ in ("e3", "e17", "e29") else None)
    delivered, problem = ask(server)
    assert problem == ""
    assert sorted(id_ for id_, good in delivered.items() if not good) == ["e17", "e29", "e3"]
    assert len(delivered) == 30


def test_a_few_that_all_fail_have_failed():
    delivered, problem = ask(Server(lambda *_: DROPPED), n=4)
    assert (set(delivered.values()), len(delivered), problem) == ({False}, 4, "")


def test_timeouts_open_it_too():
    class Hanging(Server):
        async def generate(self, prompts, decoding):
            self.calls.append(prompts[0].example_id)
            await asyncio.sleep(60)

    limits = Limits(concurrency=4, retries=0, backoff_s=0.001, timeout_s=0.01)
    delivered, problem = ask(Hanging(None), limits=limits)
    assert delivered == {}
    assert problem.startswith("8 requests in a row failed: No answer within 0.01 s.")


def test_a_server_that_comes_and_goes_is_given_up_in_the_end():
    def fault(call, _):
        return None if call % 9 == 0 else REFUSED  # every probe, and nothing else, is answered

    delivered, problem = ask(Server(fault), n=100)
    assert (
        problem == f"The server was away {breaker.OUTAGES + 1} times: No server answers. Start it."
    )
    assert 0 < len(delivered) < 100


@pytest.mark.parametrize("gone", [True, False])
def test_what_no_other_try_can_cure_is_not_probed(gone):
    error = BackendError("No such model.", gone=gone)
    server = Server(lambda *_: error)
    delivered, problem = ask(server, n=8)
    assert (problem == "No such model.") is gone
    assert len(server.calls) == (4 if gone else 8)
    assert set(delivered.values()) == (set() if gone else {False})
