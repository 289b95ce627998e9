"""What is asked: examples, the prompts made of them, and how tokens are drawn."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


def digest(value: Any) -> str:
    """SHA-256 (hex) of a JSON-able value, the same for equal values.

    >>> digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def example_id(inputs: Mapping[str, Any]) -> str:
    """The id of an example that brings none: a short hash of its inputs."""
    return digest(dict(inputs))[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One named input or output of a role."""

    name: str
    """Key under which the value is found, such as ``title``."""
    description: str
    """What the value must be, in the words the model is told."""
    kind: Literal["text", "list"] = "text"
    """``list`` values are lists of mappings, or YAML text that holds one."""
    label: str = ""
    """Label of the fenced block that holds the value, where each output has a block of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One row of a benchmark."""

    id: str
    """Unique within the dataset."""
    inputs: Mapping[str, Any]
    """What the model is told about, such as ``{"concept": …}``."""
    reference: Mapping[str, Any] | None = None
    """A good prediction, by output field; None where the dataset has none."""
    tags: Mapping[str, Any] = field(default_factory=dict)
    """Everything else in the row: tier, language, origin, …"""

    def __post_init__(self) -> None:
        if not self.id:
            raise ValueError("an example needs a non-empty id")
        if not self.inputs:
            raise ValueError("an example needs at least one input")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    """Who speaks."""
    content: str
    """What is said, word for word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """Exactly what is sent for one example."""

    example_id: str
    """The example it was rendered from."""
    inputs: Mapping[str, Any]
    """The example's inputs, for backends that render their own prompt or look answers up."""
    messages: tuple[Message, ...]
    """The chat, oldest turn first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    """How tokens are drawn: the same for every arm of a comparison."""

    temperature: float = 0.7
    """0 is greedy."""
    max_tokens: int = 2048
    """Most new tokens of one generation."""
    seed: int = 42
    """Draws of one example depend on this, the prompt and nothing else, where a backend can."""
    num_ctx: int = 8192
    """Context window asked of servers that have to be told, in tokens."""
    deterministic: bool = False
    """One prompt at a time, so that no answer depends on those beside it; needs temperature 0."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and 0 <= self.temperature <= 10):
            raise ValueError(f"temperature must be between 0 and 10, not {self.temperature}")
        if self.seed < 0:  # servers take a negative seed for a random one
            raise ValueError(f"seed must not be negative, not {self.seed}")
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens must be at least 1, not {self.max_tokens}")
        if self.num_ctx < 1:
            raise ValueError(f"num_ctx must be at least 1, not {self.num_ctx}")
        if self.deterministic and self.temperature != 0:
            raise ValueError(f"deterministic needs temperature 0, not {self.temperature}")
