"""Every promise of a backend that the contract checks know, and what breaks it."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace

import pytest

import baft
from baft import BackendError, Generation
from baft.testing import (
    FakeBackend,
    check_backend,
)


class Sound(FakeBackend):
    """A backend that keeps every promise; those below break one each."""

    def __init__(self, outputs="An answer.", **options):
        super().__init__(outputs, batch_size=2, **options)


class Nameless(Sound):
    def __init__(self):
        super().__init__(spec="model")


class Unstable(Sound):
    def fingerprint(self):
        return baft.digest(id(self))


class Fickle(Sound):
    prints = 0

    def fingerprint(self):
        self.prints += 1
        return baft.digest(self.prints)


class Named(Sound):
    def fingerprint(self):
        return "model-v1"


class Alike(Sound):
    def fingerprint(self):
        return baft.digest("model")


class Tongueless(Sound):
    def describe(self):
        return {"provider": "fake", "model": object()}


class Unprovided(Sound):
    def describe(self):
        return {}


class Reordering(Sound):
    async def generate(self, prompts, decoding):
        return (await super().generate(prompts, decoding))[::-1]


class Tupled(Sound):
    async def generate(self, prompts, decoding):
        return tuple(await super().generate(prompts, decoding))


class Texts(Sound):
    async def generate(self, prompts, decoding):
        return [prompt.example_id for prompt in prompts]


class Backwards(Sound):
    async def generate(self, prompts, decoding):
        answers = await super().generate(prompts, decoding)
        return [replace(answer, latency_s=-1.0) for answer in answers]


class Moody(Sound):
    async def generate(self, prompts, decoding):
        answers = await super().generate(prompts, decoding)
        return [replace(answer, text=str(len(self.calls))) for answer in answers]


class Raising(Sound):
    async def generate(self, prompts, decoding):
        if len(prompts[0].messages[0].content) > 1000:
            raise ValueError("too long")
        return await super().generate(prompts, decoding)


class Mixing(Sound):
    """Keeps the prompts of the call in itself, where another call overwrites them."""

    async def generate(self, prompts, decoding):
        self.prompts = prompts
        await asyncio.sleep(0)
        return [Generation(example_id=prompt.example_id, text="x") for prompt in self.prompts]


class Hanging(Sound):
    async def generate(self, prompts, decoding):
        await asyncio.sleep(1000)
        raise AssertionError("never here")


class Deaf(Sound):
    """Does not end when it is given up."""

    async def generate(self, prompts, decoding):
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            await asyncio.sleep(1000)
        return await super().generate(prompts, decoding)


class Sulking(Sound):
    """Turns being given up into an error."""

    async def generate(self, prompts, decoding):
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError as error:
            raise KeyError("cancelled") from error
        return await super().generate(prompts, decoding)


class Loud(Sound):
    async def generate(self, prompts, decoding):
        sys.stdout.write("asking")
        return await super().generate(prompts, decoding)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Nameless, "spec must be SCHEME:TARGET"),
        (Unstable, "opened again, the same model has another fingerprint"),
        (Fickle, "changes from one call to the next"),
        (Named, "no SHA-256 in hex"),
        (Tongueless, r"describe\(\) must be JSON-able"),
        (Unprovided, "must name a provider"),
        (Reordering, "one each, in order"),
        (Tupled, "must return a list"),
        (Texts, "must return Generations"),
        (Backwards, "latency of -1.0 s"),
        (Moody, "greedy answers change"),
        (Mixing, "one each, in order"),
        (Hanging, "no answer within 0.2 s"),
        (Deaf, r"a cancelled generate\(\) did not end within 0.2 s"),
        (Sulking, r"a cancelled generate\(\) raised KeyError"),
        (Loud, "must print nothing on stdout, not 'asking"),
    ],
)
def test_a_backend_that_breaks_a_promise_is_found(kind, words):
    with pytest.raises(AssertionError, match=words):
        check_backend(kind, timeout_s=0.2)


def test_a_backend_may_say_that_it_is_not_deterministic():
    check_backend(Moody, deterministic=False)


def test_an_error_of_another_kind_comes_through_as_it_is():
    with pytest.raises(ValueError, match="too long"):
        check_backend(Raising)


def test_a_fingerprint_of_a_name_is_found():
    check_backend(Sound, other=lambda: Sound("Another answer."))
    with pytest.raises(AssertionError, match="other content has the same fingerprint"):
        check_backend(Alike, other=lambda: Alike("Another answer."))


class Gone(Sound):
    error = BackendError("The server is gone.", "Start it.", gone=True)

    def fingerprint(self):
        raise self.error

    async def generate(self, prompts, decoding):
        raise self.error


class Vague(Gone):
    error = BackendError("Something is wrong.", "Look.")


class Mute(Gone):
    error = BackendError("The server is gone.", gone=True)


def test_a_server_that_is_gone_must_be_said_to_be_gone():
    check_backend(Sound, unreachable=Gone)
    for kind, words in [
        (Sound, "must raise BackendError"),
        (Vague, "must say gone=True"),
        (Mute, "what to do next"),
    ]:
        with pytest.raises(AssertionError, match=words):
            check_backend(Sound, unreachable=kind)
