"""From messages to token ids: the one place, for training, evaluation and service alike."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import baft

NO_TEMPLATE = "The model has no chat template: the messages are joined as plain text."


def prompt_ids(tokenizer: Any, messages: Sequence[baft.Message]) -> list[int]:
    """Token ids up to where the answer begins, with at most one begin token.

    A system message is put before the first user message where the template knows no system role.
    """
    if not tokenizer.chat_template:
        ids = list(tokenizer(prompt_text(tokenizer, messages)).input_ids)
        while ids and ids[-1] == tokenizer.eos_token_id:  # the answer is still to come
            ids.pop()
        return ids
    ids = list(_apply(tokenizer, messages, tokenize=True))
    begin = tokenizer.bos_token_id
    while len(ids) > 1 and ids[0] == ids[1] == begin and begin is not None:
        ids = ids[1:]
    return ids


def prompt_text(tokenizer: Any, messages: Sequence[baft.Message]) -> str:
    """The text behind ``prompt_ids``; the tokenizer may put a begin token in front."""
    if not tokenizer.chat_template:
        return "\n\n".join(message.content for message in messages)
    return str(_apply(tokenizer, messages, tokenize=False))


def answer_ids(tokenizer: Any, answer: str) -> list[int]:
    """Token ids of an answer that follows ``prompt_ids``, the end token last."""
    ids = list(tokenizer(answer, add_special_tokens=False).input_ids)
    return [*ids, tokenizer.eos_token_id]


def answer_text(tokenizer: Any, ids: Sequence[int]) -> str:
    """The text of an answer's tokens, without the end token."""
    return str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def template_sha256(tokenizer: Any) -> str:
    """Hash of the chat template; of the empty text where there is none."""
    return hashlib.sha256((tokenizer.chat_template or "").encode()).hexdigest()


def _apply(tokenizer: Any, messages: Sequence[baft.Message], *, tokenize: bool) -> Any:
    chat = [{"role": message.role, "content": message.content} for message in messages]

    def apply(chat: list[dict[str, str]]) -> Any:
        return tokenizer.apply_chat_template(
            chat, add_generation_prompt=True, tokenize=tokenize, return_dict=False
        )

    try:
        return apply(chat)
    except TemplateError:
        if len(chat) < 2 or chat[0]["role"] != "system":
            raise
        joined = f"{chat[0]['content']}\n\n{chat[1]['content']}"
        return apply([{"role": chat[1]["role"], "content": joined}, *chat[2:]])
