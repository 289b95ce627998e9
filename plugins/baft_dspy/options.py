"""What ``optimize`` can be told."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from baft import UsageError

from .journal import Budget

if TYPE_CHECKING:
    from collections.abc import Mapping

    from baft import Backend, Extraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What ``optimize`` understands; other options are recorded and have no effect."""

    num_candidates: int = 8
    """mipro: instructions, and sets of demonstrations, the baseline's own among them; random: sets
    of demonstrations; simba: programs made in a step."""
    num_trials: int | None = None
    """mipro, gepa: programs to score after the baseline; simba: steps. None: DSPy's own rule."""
    max_bootstrapped_demos: int = 2
    """Most demonstrations made from the model's own answers."""
    max_labeled_demos: int = 2
    """Most demonstrations in all where references fill the places left."""
    minibatch: bool = True
    """mipro: score trials on part of the selection set, if it is larger than that part."""
    minibatch_size: int = 35
    """mipro: that part; simba: training examples by step."""
    seed: int = 42
    max_errors: int = 10
    """Failures that are borne in the whole search."""
    threads: int | None = None
    """Programs at once; None: the batch size of a local model, what a server bears, or 8."""
    temperature: float = 0.7
    max_tokens: int = 2048
    num_ctx: int = 8192
    extraction: Extraction = "lenient"
    auto: Literal["light", "medium", "heavy"] | None = None
    """mipro: DSPy's presets, in place of the numbers of candidates and trials and the minibatch."""
    propose: bool = True
    """mipro: let a model write instructions; small models write poor ones."""
    hints: bool = True
    """mipro: try instructions made from the role's fields; see ``instructions``."""
    instructions: tuple[str, ...] = ()
    """mipro: more instructions to try, all of them."""
    instructions_file: str | None = None
    """The same from a text file, separated by lines of ``---``."""
    demo_threshold: float = 0.8
    """Least score of an answer that becomes a demonstration, as a share of the best attainable."""
    prompt_lm: Backend | None = None
    """Writes the instructions; None: the model that is optimized for."""
    max_calls: int | None = None
    """Prompts that may be sent; see ``Budget``."""
    max_tokens_total: int | None = None
    """Tokens that may be spent, of prompts and answers."""
    max_minutes: float | None = None
    """Minutes that the search may take."""
    resume: bool = False
    """Go on with the search that was begun in the output folder."""
    select_on_val: bool = False
    """The user insists on selecting on examples that a benchmark measures on; recorded."""

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> Options:
        """The options that are known and given.

        Raises:
            UsageError: one of them is out of range.
        """
        known = {field.name for field in fields(cls)}
        given = {k: v for k, v in options.items() if k in known and v is not None}
        given["instructions"] = tuple(given.get("instructions", ()))
        self = cls(**given)
        for name, least in (
            ("num_candidates", 1),
            ("num_trials", 1),
            ("minibatch_size", 1),
            ("threads", 1),
            ("seed", 0),
            ("max_errors", 0),
            ("max_calls", 1),
            ("max_tokens_total", 1),
        ):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(f"{name} must be at least {least}, not {value}.")
        if self.max_minutes is not None and not self.max_minutes > 0:
            raise UsageError(f"max_minutes must be more than 0, not {self.max_minutes}.")
        if self.auto not in (None, "light", "medium", "heavy"):
            raise UsageError(f"There is no auto {self.auto!r}.", "Write light, medium or heavy.")
        return self

    @property
    def budget(self) -> Budget:
        """The three limits."""
        return Budget(
            max_calls=self.max_calls,
            max_tokens_total=self.max_tokens_total,
            max_minutes=self.max_minutes,
        )

    @property
    def deciding(self) -> dict[str, Any]:
        """The options that a resumed search must share with the one begun."""
        free = {"prompt_lm", "resume", "select_on_val", "threads", "max_errors"}
        free |= {"max_calls", "max_tokens_total", "max_minutes"}
        names = [field.name for field in fields(self) if field.name not in free]
        return {name: getattr(self, name) for name in names}
