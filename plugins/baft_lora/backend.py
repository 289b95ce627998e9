"""Backends ``hf`` and ``lora``: a causal LM in this process, with or without an adapter."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import baft

from . import loading, merging, sources
from .batching import batch_notes, free_batch_size
from .chatform import chat_form
from .rendering import NO_TEMPLATE, answer_text, prompt_ids, template_sha256
from .speaking import Speaker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

LIBRARIES = ("torch", "transformers", "peft", "tokenizers", "safetensors", "bitsandbytes")


class LocalBackend:
    """One arm: a base, perhaps an adapter, and the tokenizer that goes with them."""

    max_concurrency = 1

    def __init__(
        self, spec: str, parts: sources.Parts, context: baft.Context, described: dict[str, Any]
    ) -> None:
        self.spec = spec
        self._parts = parts
        self._shared = context.shared
        self._described = described
        self._config = loading.load_config(parts.base)
        self._text = self._config.get_text_config(decoder=True)
        self._parameters = sources.parameter_count(sources.weight_files(parts.base))
        self._device = loading.choose_device(context.device)
        self._dtype = loading.choose_dtype(self._device, self._parameters)
        if sources.quantization(parts.base) == "bnb4":
            loading.require_four_bits()
            self._dtype = "bnb4"
        self._tokenizer, self._notes = _tokenizer(parts)
        self._stop_ids = stop_ids(parts.base, self._text, self._tokenizer)
        self._weights: Weights | None = None
        self._batch_notes: tuple[str, ...] | None = None
        self._fingerprint = ""
        self.batch_size = context.batch_size or free_batch_size(
            self._text,
            parameters=self._parameters,
            dtype=self._dtype,
            device=self._device,
            context=self._context_size(),
        )

    @classmethod
    def open_model(cls, target: str, context: baft.Context) -> LocalBackend:
        """``hf:PATH_OR_ID``."""
        base = sources.find_model(target, allow_download=context.allow_download)
        described = {"base": target, "adapter": None}
        return cls(f"hf:{target}", sources.Parts(base=base), context, described)

    @classmethod
    def open_adapter(cls, target: str, context: baft.Context) -> LocalBackend:
        """``lora:ADAPTER_DIR`` or ``lora:ADAPTER_DIR?base=PATH_OR_ID``."""
        name, _, query = target.partition("?")
        options = dict(parse_qsl(query, keep_blank_values=True))
        for key in options.keys() - {"base"}:
            raise baft.UsageError(
                f"The spec 'lora:{target}' has the unknown option {key!r}.",
                "Write lora:ADAPTER_DIR?base=PATH.",
            )
        adapter = sources.find_adapter(name)
        override = options.get("base")
        base = sources.find_base(adapter, override, allow_download=context.allow_download)
        named = override or sources.adapter_config(adapter)["base_model_name_or_path"]
        described = {"base": named, "adapter": name, "training": sources.training_of(adapter)}
        return cls(f"lora:{target}", sources.Parts(base=base, adapter=adapter), context, described)

    def fingerprint(self) -> str:
        """Hash of weights, adapter, tokenizer, chat template, end tokens and number format."""
        if not self._fingerprint:
            adapter = self._parts.adapter
            self._fingerprint = baft.digest(
                {
                    "base": self._base_digest(),
                    "adapter": sources.adapter_digest(adapter) if adapter else None,
                    "tokenizer": sources.tokenizer_digest(self._parts.tokenizer),
                    "template": template_sha256(self._tokenizer),
                    "stop_ids": sorted(self._stop_ids),
                    "dtype": self._dtype,
                }
            )
        return self._fingerprint

    def describe(self) -> Mapping[str, Any]:
        """What is run, how, and by which versions."""
        return {
            "provider": "huggingface_local",
            **self._described,
            "dtype": self._dtype,
            "device": self._device,
            "in_process": True,
            "sampling": "temperature alone",
            "parameters": self._parameters,
            "context": self._context_size(),
            "template_sha256": template_sha256(self._tokenizer),
            "stop_ids": sorted(self._stop_ids),
            "versions": versions(),
            "notes": list(self._notes),
        }

    async def generate(
        self, prompts: Sequence[baft.Prompt], decoding: baft.Decoding
    ) -> list[baft.Generation]:
        """One generation for each prompt, in order, from a thread of its own.

        Raises:
            BackendError: a prompt is no text or leaves no room for an answer, or memory ran out.
        """
        return await self._in_thread(prompts, decoding)

    async def stream(
        self, prompt: baft.Prompt, decoding: baft.Decoding, heard: Callable[[str], None]
    ) -> baft.Generation:
        """As ``generate`` for one prompt, telling the text while it is written.

        Raises:
            BackendError: as ``generate``.
        """
        (generation,) = await self._in_thread([prompt], decoding, Speaker(self._tokenizer, heard))
        return generation

    def chat_form(self, prompts: Sequence[baft.Prompt]) -> baft.ChatForm:
        """The chat template as pieces around one user turn; see ``baft.Mergeable``."""
        return chat_form(self._tokenizer, self._stop_ids, self._context_size(), prompts)

    def merge(
        self, output: Path, dtype: str, log: Callable[[Mapping[str, Any]], None]
    ) -> Mapping[str, Any]:
        """Write the model as one whole; see ``baft.Mergeable``.

        Raises:
            DataError: it cannot be merged or written.
            UsageError: there is no such number format.
        """
        if dtype not in ("auto", *merging.DTYPES):
            raise baft.UsageError(f"There is no dtype {dtype!r}.", "Known: auto, bf16, fp32.")
        probe = baft.Message(role="user", content="Name three things that a bakery needs.")
        return merging.merge(
            self._parts,
            self._tokenizer,
            prompt_ids(self._tokenizer, [probe]),
            output,
            dtype=merging.DTYPES.get(dtype) or loading.choose_dtype("cpu", self._parameters),
            facts={"source": self.spec, "fingerprint": self.fingerprint()},
            log=log,
        )

    async def close(self) -> None:
        """Let go of the weights: they stay for arms of this base, or make room for others."""
        if self._weights is not None:
            self._weights.users -= 1
            self._weights = None

    async def _in_thread(
        self,
        prompts: Sequence[baft.Prompt],
        decoding: baft.Decoding,
        heard: Callable[[int, int], None] | None = None,
    ) -> list[baft.Generation]:
        gave_up = threading.Event()
        try:
            return await asyncio.to_thread(self._generate, prompts, decoding, gave_up, heard)
        except asyncio.CancelledError:
            gave_up.set()  # the thread ends after its present token
            raise

    def _ids(self, prompt: baft.Prompt) -> list[int]:
        try:
            for message in prompt.messages:
                message.content.encode()
        except UnicodeEncodeError as error:
            raise baft.BackendError(
                f"The prompt of {prompt.example_id!r} holds half a character: {error.reason}.",
                "Mend it in the dataset.",
            ) from error
        return prompt_ids(self._tokenizer, prompt.messages)

    def _generate(
        self,
        prompts: Sequence[baft.Prompt],
        decoding: baft.Decoding,
        gave_up: threading.Event,
        heard: Callable[[int, int], None] | None,
    ) -> list[baft.Generation]:
        import torch

        from .sampling import decode

        ids = [self._ids(prompt) for prompt in prompts]
        limits = self._limits(prompts, ids, decoding.max_tokens)
        few = loading.few_threads(self._parameters)
        with self._loaded().running(self._parts.adapter) as model, few:
            started = time.perf_counter()
            try:
                if self._batch_notes is None and len(ids) > 1:
                    self._batch_notes = batch_notes(model, ids, self._dtype)
                answers = decode(
                    model,
                    ids,
                    temperature=decoding.temperature,
                    seed=decoding.seed,
                    limits=limits,
                    stop_ids=self._stop_ids,
                    stopped=gave_up.is_set,
                    heard=heard,
                )
            except torch.OutOfMemoryError as error:
                raise baft.BackendError(
                    f"The memory of the {self._device} does not hold {len(prompts)} prompts.",
                    f"Use a --batch-size below {len(prompts)}.",
                ) from error
            share = (time.perf_counter() - started) / len(prompts)
        return [
            self._generation(prompt, asked, answer, limit < decoding.max_tokens, share)
            for prompt, asked, answer, limit in zip(prompts, ids, answers, limits, strict=True)
        ]

    def _generation(
        self,
        prompt: baft.Prompt,
        asked: list[int],
        answer: list[int],
        clipped: bool,
        latency_s: float,
    ) -> baft.Generation:
        is_whole = bool(answer) and answer[-1] in self._stop_ids
        notes = (*self._notes, *(self._batch_notes or ()))
        if clipped and not is_whole:
            room = f"The context of {self._context_size()} tokens left room for {len(answer)}."
            notes = (*notes, room)
        return baft.Generation(
            example_id=prompt.example_id,
            text=answer_text(self._tokenizer, answer),
            finish_reason="stop" if is_whole else "length",
            prompt_tokens=len(asked),
            prompt_sha256=baft.digest(asked),
            completion_tokens=len(answer),
            latency_s=latency_s,
            notes=notes,
        )

    def _limits(
        self, prompts: Sequence[baft.Prompt], ids: Sequence[Sequence[int]], max_tokens: int
    ) -> list[int]:
        """Most new tokens by row; the prompt and they must fit the context."""
        size = self._context_size()
        if size is None:
            return [max_tokens for _ in ids]
        for prompt, row in zip(prompts, ids, strict=True):
            if len(row) >= size:
                raise baft.BackendError(
                    f"The prompt of example {prompt.example_id!r} has {len(row)} tokens and the "
                    f"context of the model {size}.",
                    "Shorten the example, or choose a model with a longer context.",
                )
        return [min(max_tokens, size - len(row)) for row in ids]

    def _context_size(self) -> int | None:
        size: int | None = getattr(self._text, "max_position_embeddings", None)
        return size

    def _base_digest(self) -> str:
        """The base's hash, taken once for all arms of a comparison."""
        key = f"baft_lora/digest/{self._parts.base.resolve()}"
        if key not in self._shared:
            self._shared[key] = sources.model_digest(self._parts.base)
        digest: str = self._shared[key]
        return digest

    def _key(self) -> str:
        return f"baft_lora/weights/{self._base_digest()}/{self._dtype}/{self._device}"

    def _loaded(self) -> Weights:
        if self._weights is None:
            key = self._key()
            for other in [k for k, w in self._shared.items() if isinstance(w, Weights)]:
                if other != key and not self._shared[other].users:
                    del self._shared[other]
            fresh = Weights(self._parts.base, self._dtype, self._device)
            self._weights = self._shared.setdefault(key, fresh)
            self._weights.users += 1
        return self._weights


class Weights:
    """One base in memory and the adapters put on it; whoever runs it holds the lock."""

    def __init__(self, base: Path, dtype: str, device: str) -> None:
        self.users = 0
        self._base = base
        self._dtype = dtype
        self._device = device
        self._lock = threading.Lock()
        self._model: Any = None
        self._peft: Any = None

    @contextlib.contextmanager
    def running(self, adapter: Path | None) -> Iterator[Any]:
        """The model with this adapter on and every other one off.

        Raises:
            BackendError: the weights cannot be read, or the adapter does not fit them.
        """
        with self._lock:
            try:
                self._prepare(adapter)
            except baft.DataError as error:
                self._model = self._peft = None  # what was half put on must not answer
                raise baft.BackendError(error.message, error.hint, gone=True) from error
            if adapter is not None or self._peft is None:
                yield self._model
            else:
                with self._peft.disable_adapter():
                    yield self._model

    def _prepare(self, adapter: Path | None) -> None:
        """PEFT puts its layers into the base itself, so the base is what is run."""
        if self._model is None:
            self._model = loading.load_weights(self._base, dtype=self._dtype, device=self._device)
        if adapter is not None:
            name = sources.adapter_digest(adapter)
            if self._peft is None or name not in self._peft.peft_config:
                self._peft = loading.put_on(self._peft or self._model, adapter, name)
            self._peft.set_adapter(name)
            self._peft.eval()


def stop_ids(base: Path, config: Any, tokenizer: Any) -> frozenset[int]:
    """Every token that ends an answer, by the model's or the tokenizer's account."""
    named = [config.eos_token_id, tokenizer.eos_token_id]
    generation = base / "generation_config.json"
    if generation.is_file():
        named.append(sources.read_json(generation).get("eos_token_id"))
    lists = [ids if isinstance(ids, list) else [ids] for ids in named]
    return frozenset(token for ids in lists for token in ids if token is not None)


def versions() -> dict[str, str]:
    """Versions of the libraries that run the model, as far as they are installed."""
    found = {}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _tokenizer(parts: sources.Parts) -> tuple[Any, tuple[str, ...]]:
    """The tokenizer, and what a reader should know about it."""
    tokenizer = loading.load_tokenizer(parts.tokenizer)
    if parts.tokenizer != parts.base:
        of_base = loading.load_tokenizer(parts.base).chat_template
        if not tokenizer.chat_template:
            tokenizer.chat_template = of_base
        elif of_base and tokenizer.chat_template != of_base:
            return tokenizer, ("The adapter brings its own chat template.",)
    return tokenizer, () if tokenizer.chat_template else (NO_TEMPLATE,)
