"""From a chat template to the pieces around one user turn, for servers that read no Jinja."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import baft

from .rendering import prompt_ids, prompt_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

USER, SYSTEM = "Zebra 7 asks.\nTwice: {x}?", "Quill 9 rules.\n<b>Briefly</b>!"
"""Probes: texts that no template would hold, with line breaks and marks that some would escape."""


def chat_form(
    tokenizer: Any,
    stop_ids: Collection[int],
    context: int | None,
    prompts: Sequence[baft.Prompt] = (),
) -> baft.ChatForm:
    """The pieces, and proof that they render what the tokenizer renders.

    Args:
        tokenizer: with its chat template, if it has one.
        stop_ids: tokens that end an answer.
        context: most tokens of the model.
        prompts: real ones to check as well.

    Raises:
        UsageError: the template does more than put pieces around the texts, or nothing ends an
            answer.
    """
    if "strftime" in (tokenizer.chat_template or ""):
        raise _refused("it writes today's date")
    user = _pieces(tokenizer, USER)
    system = _pieces(tokenizer, SYSTEM, USER)
    pieces = "".join((*user, *system))
    special = [token for token in tokenizer.all_special_tokens if token in pieces]
    ends = [tokenizer.decode([token], skip_special_tokens=False) for token in sorted(stop_ids)]
    stops = tuple(dict.fromkeys(stop for stop in (*ends, *special) if stop.strip()))
    if not ends or not stops:
        raise _refused("the model names no token that ends an answer")
    form = baft.ChatForm(
        user=(user[0], user[1]),
        system=(system[0], system[1], system[2]),
        begins=_begins(tokenizer),
        stops=stops,
        context=context,
    )
    for prompt in (*_probes(), *prompts):
        _check(tokenizer, form, prompt)
    return form


def _pieces(tokenizer: Any, *texts: str) -> tuple[str, ...]:
    """What stands before, between and after the texts, of which the last is the user's."""
    rest = _text(tokenizer, _messages(*texts))
    pieces = []
    for text in texts:
        before, found, rest = rest.partition(text)
        if not found or text in rest:
            raise _refused("it changes, repeats or drops the text of a message")
        pieces.append(before)
    return (*pieces, rest)


def _check(tokenizer: Any, form: baft.ChatForm, prompt: baft.Prompt) -> None:
    roles = [message.role for message in prompt.messages]
    if roles not in (["user"], ["system", "user"]):
        raise _refused(f"prompt {prompt.example_id!r} is more than one user turn")
    texts = [message.content for message in reversed(prompt.messages)]
    if form.render(*texts) != _text(tokenizer, prompt.messages):
        raise _refused(f"prompt {prompt.example_id!r} would not be rendered as it was evaluated")


def _probes() -> Iterator[baft.Prompt]:
    """One and two turns in which the texts differ from those that gave the pieces."""
    for texts in (("A\n\nB – ñ 漢",), ("Rules: {{ x }}", "“Why?”")):
        yield baft.Prompt(example_id="probe", inputs={}, messages=_messages(*texts))


def _messages(*texts: str) -> tuple[baft.Message, ...]:
    user = baft.Message(role="user", content=texts[-1])
    return (*(baft.Message(role="system", content=text) for text in texts[:-1]), user)


def _text(tokenizer: Any, messages: Sequence[baft.Message]) -> str:
    """The prompt as text, without its begin token."""
    text = prompt_text(tokenizer, messages)
    while tokenizer.bos_token and text.startswith(tokenizer.bos_token):
        text = text.removeprefix(tokenizer.bos_token)
    return text


def _begins(tokenizer: Any) -> str:
    ids = prompt_ids(tokenizer, _messages(USER))
    begins: str = tokenizer.bos_token or ""
    return begins if ids and ids[0] == tokenizer.bos_token_id else ""


def _refused(why: str) -> baft.UsageError:
    return baft.UsageError(
        f"No explicit template can be derived from the model's chat template: {why}.",
        "Export with --to merged, and write the TEMPLATE by hand.",
    )
