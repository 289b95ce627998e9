"""A server that really listens, around a model that does as it is told."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from contextlib import contextmanager

from baft import BackendError, Generation

MODEL = "hf:models/talker"
KEY, OWN = "secret", "own-key"


class Silent:
    """Answers with the words of the question, each after a wait."""

    spec, batch_size, max_concurrency = MODEL, 1, None

    def __init__(self, *, step_s=0.0, most=None):
        self.step_s, self.max_concurrency = step_s, most
        self.at_once = self.most_at_once = self.given_up = 0
        self.asked = []

    def fingerprint(self):
        return "f" * 64

    def describe(self):
        return {"provider": "talker"}

    async def generate(self, prompts, decoding):
        return [await self.say(prompts[0], decoding, lambda piece: None)]

    async def say(self, prompt, decoding, heard):
        self.asked.append((prompt, decoding))
        text = prompt.messages[-1].content
        if "DOWN" in text:
            raise BackendError("The model is down.", "Start it.", gone=True)
        if "CRASH" in text:
            raise RuntimeError("boom")
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            for word in text.split(" "):
                await asyncio.sleep(self.step_s)
                heard(word + " ")
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        finally:
            self.at_once -= 1
        return Generation(
            example_id=prompt.example_id,
            text=text + " .",
            finish_reason="length" if "CUT" in text else "stop",
            prompt_tokens=3,
            completion_tokens=len(text.split(" ")) + 1,
        )

    async def close(self):
        pass


class Talker(Silent):
    """Tells its answer word by word."""

    async def stream(self, prompt, decoding, heard):
        return await self.say(prompt, decoding, heard)


@contextmanager
def listening(plugins, config, backend, *, api_key=KEY, role="ba"):
    """A running server over ``config``; gives what its note would say."""
    from baft.loopback import listen, server
    from baft.promotion import in_service, read_config
    from baft.serving.app import Endpoint, make_app
    from baft.serving.running import Running, files_of

    spec = in_service(read_config(config), role, plugins).spec
    with listen() as found:
        running = Running(
            role=role,
            pid=1,
            machine="here",
            port=found.getsockname()[1],
            key=OWN,
            spec=spec,
            fingerprint=backend.fingerprint(),
            files=files_of(spec, backend.describe()),
        )
        player = plugins.role(role)
        point = Endpoint(plugins, config=config, role=player, backend=backend, running=running)
        app = make_app(point, port=running.port, api_key=api_key, own_key=OWN)
        serving = server(app)
        thread = threading.Thread(target=serving.run, kwargs={"sockets": [found]})
        thread.start()
        try:
            while not serving.started:
                assert thread.is_alive()
                time.sleep(0.01)
            yield running
        finally:
            serving.should_exit = True
            thread.join()


def send(running, method="POST", path="/v1/chat/completions", body=None, **headers):
    """Status, headers and text of one request, which is sent as it is."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
    whole = {
        "host": f"127.0.0.1:{running.port}",
        "content-type": "application/json",
        "authorization": f"Bearer {KEY}",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    try:
        raw = json.dumps(body).encode() if not isinstance(body, bytes) else body
        connection.request(method, path, raw, {k: v for k, v in whole.items() if v is not None})
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode()
    finally:
        connection.close()


def chat(text="A shop", **more):
    """The body of a request."""
    return {"model": "ba", "messages": [{"role": "user", "content": text}], **more}
