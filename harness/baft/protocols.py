"""What plugins supply: plain protocols, no base class.

Every object here is made by a factory that a plugin registered (see ``hookspecs``); the factory may
import heavy libraries, registering it may not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from .records import (
        Decision,
        Decoding,
        Example,
        Extraction,
        Failure,
        Field,
        Generation,
        Limits,
        Policy,
        Prediction,
        Prompt,
        Report,
        RuleResult,
        Score,
    )

T_contra = TypeVar("T_contra", contravariant=True)


class Register(Protocol[T_contra]):
    """Called by a plugin once for each thing it offers."""

    def __call__(
        self, name: str, factory: Callable[..., T_contra], *, experimental: bool = False
    ) -> None:
        """Offer ``name``; ``factory`` makes it when it is used.

        ``experimental`` is what may still change; ``baft plugins`` says so.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a backend factory may use of its surroundings."""

    open: Callable[[str], Backend]
    """Opens another spec (a DSPy program opens its language model) in the same context."""
    shared: dict[str, Any] = field(default_factory=dict)
    """Lives as long as one comparison: arms keep here what they can share, such as base weights."""
    env: Mapping[str, str] = field(default_factory=dict)
    """The environment variables; plugins do not read ``os.environ`` themselves."""
    role: Role | None = None
    """The role the model will play."""
    allow_download: bool = False
    """Model hubs may be asked; otherwise nothing is fetched."""
    allow_pickle: bool = False
    """Pickled programs may be loaded; otherwise they are refused."""
    device: str = "auto"
    """``auto``, ``cpu`` or ``cuda``."""
    batch_size: int | None = None
    """Fixes the batch size of local models; None lets the backend choose."""


class Backend(Protocol):
    """Turns prompts into generations."""

    @property
    def spec(self) -> str:
        """The spec it was opened with."""
        ...

    @property
    def batch_size(self) -> int:
        """Most prompts it wants in one call: 1 for servers, more for local models."""
        ...

    @property
    def max_concurrency(self) -> int | None:
        """Most calls it bears at once; None leaves it to the engine."""
        ...

    def fingerprint(self) -> str:
        """SHA-256 over the content that answers: weights, template, tokenizer, program, digest.

        Raises:
            BackendError: with ``gone=True`` where the model cannot be reached at all.
        """
        ...

    def describe(self) -> Mapping[str, Any]:
        """JSON-able facts for the report: provider, model, digest, quantization, versions.

        ``sampling`` says what shapes the draws beside the decoding; arms that differ in it are
        noted in the report. ``cache`` is False where answers cost nothing: they are not kept.
        ``in_process`` is True where the model computes in the process that asks it.
        """
        ...

    async def generate(self, prompts: Sequence[Prompt], decoding: Decoding) -> list[Generation]:
        """One generation for each prompt, in order; at most ``batch_size`` prompts.

        Must not block the event loop (a local model works in a thread).

        Raises:
            BackendError: the whole call failed; ``retryable`` says whether another try may help.
        """
        ...

    async def close(self) -> None:
        """Give back connections and memory; called once."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatForm:
    """How a model's chat template writes one user turn: the pieces around the texts.

    Pieces hold no begin token; whoever tokenizes puts it in front where ``begins`` names one.
    """

    user: tuple[str, str]
    """Before and after the user's text; the answer begins right after."""
    system: tuple[str, str, str]
    """Before the system's text, between it and the user's, and after the user's."""
    begins: str
    """The begin token that the prompt starts with; empty where there is none."""
    stops: tuple[str, ...]
    """Texts of the tokens that end an answer."""
    context: int | None
    """Most tokens of prompt and answer together; None where the model does not say."""

    def render(self, user: str, system: str = "") -> str:
        """The text up to where the answer begins, without the begin token."""
        if not system:
            return f"{self.user[0]}{user}{self.user[1]}"
        return f"{self.system[0]}{system}{self.system[1]}{user}{self.system[2]}"


@runtime_checkable
class Mergeable(Protocol):
    """What a backend may be besides: one whose model can be written as one whole."""

    def chat_form(self, prompts: Sequence[Prompt]) -> ChatForm:
        """How its chat template writes one user turn, checked on these prompts.

        Raises:
            UsageError: the template does more than put pieces around the texts.
        """
        ...

    def merge(
        self, output: Path, dtype: str, log: Callable[[Mapping[str, Any]], None]
    ) -> Mapping[str, Any]:
        """Write weights (safetensors) and tokenizer to ``output``; returns export_info.json.

        A folder that holds the same model already is left as it is. ``dtype`` is ``auto``,
        ``bf16`` or ``fp32``.

        Raises:
            DataError: the parts do not fit, are quantized, or cannot be written.
        """
        ...


@runtime_checkable
class Streaming(Protocol):
    """What a backend may be besides: one that tells its answer while it is being written."""

    async def stream(
        self, prompt: Prompt, decoding: Decoding, heard: Callable[[str], None]
    ) -> Generation:
        """As ``generate`` for one prompt; ``heard`` is told of each further piece of the text.

        It may be called from any thread. Joined, the pieces are the beginning of the text, or all
        of it.

        Raises:
            BackendError: as ``generate``.
        """
        ...


class Exporter(Protocol):
    """Puts a merged model where it is served."""

    def check(self, name: str, options: Mapping[str, Any]) -> None:
        """Fail before hours are spent on merging.

        Raises:
            UsageError: the name or an option cannot be.
            BackendError: the server does not answer.
        """
        ...

    def export(
        self,
        model: Path,
        name: str,
        form: ChatForm,
        options: Mapping[str, Any],
        log: Callable[[Mapping[str, Any]], None],
    ) -> str:
        """Serve the Hugging Face model in a folder by this name; returns the spec that opens it.

        ``log`` is told of ``{"message"}`` or of MiB: ``{"step", "total", "what"}``.

        Raises:
            BackendError: the server failed; the same call goes on where it was.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of asking: one or several generations, or one failure."""

    generations: tuple[Generation, ...] = ()
    failure: Failure | None = None
    retried: int = 0
    """Further tries that it took."""
    peak_memory_bytes: int | None = None
    """Most memory so far of the process that computes the model; None where it is a server's."""


class Deliver(Protocol):
    """Takes outcomes as they arrive; whoever asks waits for it."""

    def __call__(self, outcome: Outcome) -> Awaitable[None]:
        """Commit and score it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one arm is still to be asked, for an executor."""

    arm: str
    """Its name in the run."""
    spec: str
    """Opens the model; its paths work from the current folder."""
    fingerprint: str
    """Of the model that is meant; another one of the same spec must not answer."""
    config: Mapping[str, Any]
    """What the backend says of itself; ``in_process`` marks one that computes where it is asked."""
    prompts: Sequence[Prompt]
    """They may lie on disk: slices are read, and nothing else is held."""
    decoding: Decoding
    limits: Limits
    backend: Backend
    """The model, open in this process."""
    surroundings: Mapping[str, Any]
    """How to make its context elsewhere, as plain data; see ``executors.Worker``."""


class Executor(Protocol):
    """Asks the model of an arm, here or elsewhere."""

    async def ask(self, work: Work, deliver: Deliver) -> None:
        """Deliver an outcome for every prompt of the work, in any order, each one once.

        Raises:
            BackendError: with ``gone=True`` where the model cannot be asked any more.
        """
        ...

    async def close(self) -> None:
        """Give back processes and machines; called once, after the last arm."""
        ...


class Role(Protocol):
    """A job in the pipeline: how to prompt for it and how to read the answer."""

    @property
    def name(self) -> str:
        """Name under which it is registered."""
        ...

    @property
    def task(self) -> str:
        """What the model is asked to do, without inputs or format: one paragraph."""
        ...

    @property
    def inputs(self) -> tuple[Field, ...]:
        """What the model is told about."""
        ...

    @property
    def outputs(self) -> tuple[Field, ...]:
        """What it must answer with."""
        ...

    @property
    def metric(self) -> str:
        """Name of the metric used by default."""
        ...

    @property
    def answer_label(self) -> str:
        """Label of the fenced block that the pipeline's legacy reader expects."""
        ...

    def example(self, row: Mapping[str, Any]) -> Example:
        """Read one line of a dataset.

        Raises:
            ValueError: saying what is wrong with it.
        """
        ...

    def prompt(self, example: Example) -> Prompt:
        """What is sent for the example: the same in training, evaluation and service."""
        ...

    def target(self, example: Example) -> str:
        """The reference as the text a model should answer with; what training teaches.

        Raises:
            ValueError: the example has no reference.
        """
        ...

    def parse(self, generation: Generation, extraction: Extraction) -> Prediction:
        """Read the output fields; what cannot be read is absent, never an exception."""
        ...


@runtime_checkable
class Fixer(Protocol):
    """What a role may be besides: one that repairs the rows of its datasets."""

    def fix(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """The row with its form repaired and no content guessed; an equal one if nothing is wrong.

        Raises:
            ValueError: saying why it cannot be repaired.
        """
        ...


@runtime_checkable
class RowWriter(Protocol):
    """What a role may be besides: one whose rows are not ``{"input", "output"}`` and tags."""

    def row(self, example: Example) -> Mapping[str, Any]:
        """The row that ``Role.example`` reads as this example, which has a reference."""
        ...


@runtime_checkable
class PipelineWriter(Protocol):
    """What a role may be besides: one whose reader in the pipeline wants other blocks."""

    def pipeline_blocks(self, prediction: Prediction) -> Mapping[str, Any]:
        """What stands in each fenced block, by its label (``yaml STORIES``), in order.

        Text is written as it is; under a label that begins with ``json`` or ``yaml`` anything else
        is written in that form. A prediction that holds nothing is never asked about.
        """
        ...


class Metric(Protocol):
    """A function from example and prediction to a score."""

    @property
    def name(self) -> str:
        """Name under which it is registered."""
        ...

    @property
    def version(self) -> int:
        """Raised whenever any score can change; 0 while experimental, which reports say."""
        ...

    @property
    def higher_is_better(self) -> bool:
        """The direction of the score."""
        ...

    @property
    def attainable_max(self) -> float:
        """The best score any prediction can get."""
        ...

    @property
    def components(self) -> Mapping[str, float]:
        """Most points by component, in order of display."""
        ...

    def score(self, example: Example, prediction: Prediction) -> Score:
        """Pure and deterministic; any exception becomes a ``Failure`` with its reason."""
        ...


@runtime_checkable
class Bounded(Protocol):
    """What a metric may be besides: one that knows more of its scale than the best score."""

    @property
    def floor(self) -> float:
        """The score of an answer with nothing in it."""
        ...

    @property
    def ceilings(self) -> Mapping[str, float]:
        """Best scores by what holds them down, such as ``without stories``."""
        ...


class Trainer(Protocol):
    """Makes a fine-tuned model out of examples."""

    def train(
        self,
        role: Role,
        train: Sequence[Example],
        val: Sequence[Example],
        output: Path,
        options: Mapping[str, Any],
        log: Callable[[Mapping[str, Any]], None],
    ) -> Mapping[str, Any]:
        """Write a model that a spec can open to ``output``; returns what training_info.json holds.

        ``log`` is told of each logged step: ``{"step", "total", "loss", "tokens_per_s", …}``.
        """
        ...


@runtime_checkable
class TokenCounter(Protocol):
    """What a trainer may be besides: one that tells how long an example is before it trains."""

    def token_counter(self, role: Role, base_model: str) -> Callable[[Example], int]:
        """Counts the tokens of an example with a reference: prompt, answer and end token.

        Nothing is fetched, no weights are loaded.

        Raises:
            DataError: there is no tokenizer at ``base_model``.
        """
        ...


@runtime_checkable
class ModelCopier(Protocol):
    """What a trainer may be besides: one whose models name other files by where they lie."""

    def copy_model(self, source: Path, target: Path) -> None:
        """Copy a trained model to another folder, so that it can be opened there too.

        Raises:
            DataError: it names a file that is not there.
        """
        ...


@runtime_checkable
class Preflight(Protocol):
    """What a trainer may be besides: one that says whether a run fits before it begins."""

    def preflight(
        self,
        role: Role,
        train: Sequence[Example],
        val: Sequence[Example],
        output: Path,
        options: Mapping[str, Any],
        log: Callable[[Mapping[str, Any]], None],
    ) -> Mapping[str, Any]:
        """Tell what ``train`` would need and how long it would take; nothing is written.

        ``log`` is told ``{"message"}`` by line; what is returned holds the same in numbers.

        Raises:
            UsageError: the run cannot fit; says what would.
        """
        ...


class Optimizer(Protocol):
    """Makes a better prompt out of examples."""

    def optimize(
        self,
        role: Role,
        metric: Metric,
        train: Sequence[Example],
        val: Sequence[Example],
        lm: Backend,
        output: Path,
        options: Mapping[str, Any],
        log: Callable[[Mapping[str, Any]], None],
    ) -> Mapping[str, Any]:
        """Write a program that ``dspy:DIR`` can open; returns what optimization_info.json holds."""
        ...


class GateRule(Protocol):
    """One more rule for the gate."""

    def __call__(
        self, report: Report, policy: Policy, candidate: str, incumbent: str
    ) -> RuleResult:
        """Judge one candidate; pure."""
        ...


class Reporter(Protocol):
    """Writes or sends a finished comparison somewhere else."""

    def __call__(self, report: Report, decision: Decision, run: Path) -> Iterator[Path]:
        """Yields the files it wrote, if any."""
        ...
