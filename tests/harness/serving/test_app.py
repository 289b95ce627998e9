"""The endpoint, over real sockets, asked by the client that everybody uses."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from baft import BackendError
from baft.serving import client as asking
from baft.serving.question import question

from . import KEY, OWN, Silent, Talker, chat, listening, send

pytest.importorskip("starlette")
openai = pytest.importorskip("openai")

ASKED = [{"role": "user", "content": "A shop"}]


def test_the_client_gets_the_evaluated_prompts_answer(client, talker):
    system = {"role": "system", "content": "You are a pirate."}
    found = client.chat.completions.create(model="ba", messages=[system, *ASKED], seed=7)

    assert found.choices[0].message.content == "Concept: A shop ."
    assert found.choices[0].finish_reason == "stop"
    assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (3, 4)
    assert found.system_fingerprint == "f" * 64
    [(prompt, decoding)] = talker.asked
    assert [m.content for m in prompt.messages] == ["Concept: A shop"]
    assert (decoding.max_tokens, decoding.temperature, decoding.seed) == (99, 0.7, 7)


def test_it_streams_while_the_model_writes(client, talker):
    talker.step_s = 0.02
    told = {"include_usage": True}

    chunks = list(
        client.chat.completions.create(
            model="ba", messages=ASKED, stream=True, stream_options=told, temperature=0
        )
    )

    pieces = [c.choices[0].delta.content for c in chunks if c.choices]
    assert pieces == ["", "Concept: ", "A ", "shop ", ".", None]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert (chunks[-1].choices, chunks[-1].usage.total_tokens) == ([], 7)
    assert len({c.id for c in chunks}) == 1


def test_a_model_that_cannot_stream_tells_its_answer_at_the_end(plugins, adopted):
    with listening(plugins, adopted, Silent()) as running:
        _, headers, text = send(running, body=chat(stream=True))

    assert headers["content-type"].startswith("text/event-stream")
    events = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert events[-1] == "[DONE]"
    contents = [json.loads(e)["choices"][0]["delta"].get("content") for e in events[:-1]]
    assert contents == ["", "Concept: A shop .", None]


def test_a_cut_answer_says_so(client):
    found = client.chat.completions.create(
        model="ba", messages=[{"role": "user", "content": "CUT"}], max_completion_tokens=5
    )

    assert found.choices[0].finish_reason == "length"


def test_text_in_parts_and_the_pipelines_frame_are_understood(client, talker):
    parts = [
        {"type": "text", "text": "CONCEPT:\nA shop\n"},
        {"type": "text", "text": "\nFollow the exact output format."},
    ]

    client.chat.completions.create(model="ba", messages=[{"role": "user", "content": parts}])

    assert talker.asked[0][0].inputs == {"concept": "A shop"}


def test_the_model_is_listed_under_its_role(client, running):
    [found] = client.models.list().data
    assert (found.id, found.fingerprint) == ("ba", "f" * 64)
    assert found.spec == running.spec


def test_who_has_no_key_gets_nothing_but_the_health(running, talker):
    for key in (None, "Bearer nope", f"Basic {KEY}", f"Bearer {KEY}x", "Bearer ", "Bearer \xff"):
        assert send(running, body=chat(), authorization=key)[0] == 401
        assert send(running, "GET", "/v1/models", authorization=key)[0] == 401
    assert send(running, "GET", "/health", authorization=None)[0] == 200
    assert talker.asked == []
    wrong = openai.OpenAI(base_url=f"{running.url}/v1", api_key="wrong", max_retries=0)
    with wrong, pytest.raises(openai.AuthenticationError, match="Incorrect API key"):
        wrong.models.list()


def test_without_a_key_everybody_on_this_machine_may_ask(plugins, adopted):
    with listening(plugins, adopted, Talker(), api_key="") as running:
        assert send(running, body=chat(), authorization=None)[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "127.0.0.1"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
    ],
)
def test_pages_of_other_sites_are_refused(running, talker, headers):
    assert send(running, body=chat(), **headers)[0] in (403, 421)
    assert send(running, "GET", "/health", **headers)[0] in (403, 421)
    assert talker.asked == []


def test_a_form_of_another_site_cannot_ask(running, talker):
    assert send(running, body=chat(), content_type="text/plain")[0] == 415
    assert talker.asked == []


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "not valid JSON"),
        (b"[" * 100_000, 400, "not valid JSON"),
        (b'"x"', 400, "not a JSON object"),
        (b'{"model": "ba"}', 400, "not a list of messages"),
        (chat(model="gpt-5"), 404, "The model here is 'ba'"),
        (chat(model=None), 404, "The model here is 'ba'"),
        (chat(messages=[]), 400, "one user message"),
        (chat(messages=["x"]), 400, "not a list of messages"),
        (chat(messages=[*ASKED, {"role": "assistant", "content": "x"}, *ASKED]), 400, "one user"),
        (chat(messages=[{"role": "user"}]), 400, "holds no text"),
        (chat(" \n"), 400, "holds no text"),
        (chat([{"type": "image_url", "image_url": {"url": "x"}}]), 400, "holds no text"),
        (chat(["x", 1]), 400, "holds no text"),
        (chat("CONCEPT:\n"), 400, "concept is missing"),
        (chat(temperature="hot"), 400, "`temperature` is not a number"),
        (chat(temperature=99), 400, "temperature must be between 0 and 10"),
        (b'{"model": "ba", "messages": [{"role": "user", "content": "x"}], "temperature": NaN}',
         400, "temperature must be"),
        (chat(max_tokens=0), 400, "max_tokens must be at least 1"),
        (chat(max_tokens=2.5), 400, "`max_tokens` is not a whole number"),
        (chat(max_completion_tokens=True), 400, "not a whole number"),
        (chat(seed=-1), 400, "seed must not be negative"),
        (chat(n=2), 400, "`n` is not supported"),
        (chat(tools=[{"type": "function"}]), 400, "`tools` is not supported"),
        (chat(stop=["\n"]), 400, "`stop` is not supported"),
        (chat(response_format={"type": "json_object"}), 400, "`response_format` is not"),
        (chat(stream_options=1), 400, "`stream_options` is not an object"),
        (chat(baft=1), 400, "`baft` is not an object"),
        (chat(baft={"inputs": [1]}), 400, "`baft.inputs` is not an object"),
        (chat(baft={"prompt_sha256": "0"}), 410, "renders another prompt"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_says_why(running, talker, body, status, said):
    found, _, text = send(running, body=body)

    assert found == status
    error = json.loads(text)["error"]
    assert said in error["message"]
    assert error["type"] == "invalid_request_error"
    assert talker.asked == []


def test_what_changes_nothing_is_taken(running):
    harmless = {"n": 1, "top_p": 1.0, "stop": None, "tools": [], "logprobs": False, "user": "me"}

    assert send(running, body=chat(response_format={"type": "text"}, **harmless))[0] == 200


def test_a_huge_body_is_refused_and_the_server_lives(running, talker):
    whole = json.dumps(chat("x" * (9 * 2**20))).encode()
    try:
        assert send(running, body=whole)[0] == 413
    except (BrokenPipeError, ConnectionResetError):
        pass  # it was cut off while it was still being sent
    assert talker.asked == []
    assert send(running, body=chat())[0] == 200


def test_other_paths_and_methods_are_not_there(running):
    assert send(running, "GET", "/v1/chat/completions")[0] == 405
    assert send(running, "GET", "/docs")[0] == 404


@pytest.mark.parametrize(("word", "said"), [("DOWN", "is down. Start it."), ("CRASH", "boom")])
def test_a_model_that_fails_is_an_error_and_not_an_answer(client, word, said):
    asked = [{"role": "user", "content": word}]
    with pytest.raises(openai.InternalServerError, match=said) as caught:
        client.chat.completions.create(model="ba", messages=asked)
    assert caught.value.status_code == 502
    with pytest.raises(openai.APIError, match=said):
        list(client.chat.completions.create(model="ba", messages=asked, stream=True))
    assert client.chat.completions.create(model="ba", messages=ASKED).choices


def test_questions_at_the_same_time_get_their_own_answers(client, talker):
    talker.step_s = 0.05

    def ask(n):
        asked = [{"role": "user", "content": f"shop {n}"}]
        found = client.chat.completions.create(model="ba", messages=asked)
        return found.choices[0].message.content

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(8)))

    assert found == [f"Concept: shop {n} ." for n in range(8)]
    assert talker.most_at_once > 1


def test_a_model_that_bears_one_question_is_asked_one_by_one(plugins, adopted):
    talker = Talker(step_s=0.01, most=1)
    with listening(plugins, adopted, talker) as running, ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda n: send(running, body=chat(f"s {n}"))[0], range(6)))
        assert send(running, "GET", "/health")[0] == 200

    assert (found, talker.most_at_once, len(talker.asked)) == ([200] * 6, 1, 6)


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_frees_the_model(running, talker, stream):
    talker.step_s = 0.5
    body = chat("x " * 100, stream=stream)

    def leave():
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", running.port)
        headers = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        while not talker.asked:
            time.sleep(0.01)
        connection.close()

    thread = threading.Thread(target=leave)
    thread.start()
    thread.join()
    for _ in range(500):
        if talker.given_up:
            break
        time.sleep(0.02)
    assert (talker.given_up, talker.at_once) == (1, 0)


def test_another_model_in_service_ends_the_answers(running, adopted, make_model, talker):
    assert send(running, "GET", "/health")[0] == 200
    make_model("other", kind="config.json")
    was = adopted.read_text()
    adopted.write_text(was.replace("models/talker", "models/other"))

    status, _, text = send(running, "GET", "/health")
    assert (status, "and hf:" in text, "is in service" in text) == (503, True, True)
    assert send(running, body=chat())[0] == 410
    assert talker.asked == []
    adopted.write_text(was)
    assert send(running, body=chat())[0] == 200


def test_a_model_trained_again_into_its_folder_ends_the_answers(running, make_model):
    make_model("talker", kind="config.json", answer="title: quite another answer")

    status, _, text = send(running, body=chat())
    assert (status, "has changed since it was loaded" in text) == (410, True)


def test_a_configuration_that_breaks_is_said_and_may_be_mended(running, adopted):
    was = adopted.read_text()
    adopted.write_text("roles: [")
    assert send(running, body=chat())[0] == 503
    adopted.unlink()
    assert send(running, "GET", "/health")[0] == 503
    adopted.write_text(was)
    assert send(running, body=chat())[0] == 200


def test_settings_are_those_of_the_configuration_of_the_moment(running, adopted, talker):
    adopted.write_text(adopted.read_text().replace("max_tokens: 99", "max_tokens: 11"))

    send(running, body=chat())
    assert talker.asked[0][1].max_tokens == 11


def test_baft_asks_with_the_servers_own_key_and_gets_the_whole_generation(
    running, plugins, adopted, talker
):
    from baft.promotion import in_service, read_config

    inputs = {"concept": "CONCEPT: A shop\nFollow the exact output format."}
    service = in_service(read_config(adopted), "ba", plugins)
    asked = question(plugins.role("ba"), service, inputs)

    assert running.key == OWN
    asking.check(running)
    found = asking.complete(running, inputs, asked)

    assert talker.asked[0][0] == asked.prompt
    assert found.example_id == asked.prompt.example_id
    assert found.completion_tokens == len(found.text.split(" "))


def test_half_characters_of_a_model_pass(running, plugins, adopted, talker):
    status, _, text = send(running, body=chat("A \ud800 shop"))

    assert status == 200
    assert json.loads(text)["choices"][0]["message"]["content"] == "Concept: A \ud800 shop ."


def test_what_the_model_cannot_do_is_its_error_for_baft_too(running, plugins, adopted):
    from baft.promotion import in_service, read_config

    service = in_service(read_config(adopted), "ba", plugins)
    asked = question(plugins.role("ba"), service, {"concept": "DOWN"})
    with pytest.raises(BackendError, match="The model is down"):
        asking.complete(running, {"concept": "DOWN"}, asked)
