"""Reading models and adapters into memory, and what they run on.

No code of a model is run, and nothing is fetched.
"""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING, Any

import baft

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

SMALL = 1_000_000_000
"""Models with fewer parameters run in float32 on a CPU: exact, and fast enough."""

ONE_THREAD = 100_000_000
"""Models with fewer parameters run on one thread: a barrier does not pay for operations of 100 us,
and where another process has one of two cores, each costs a time slice (12 ms a step became 220 on
5 M parameters; OMP_WAIT_POLICY=passive would also help, but is read before torch is)."""


def load_config(path: Path) -> Any:
    """The model's configuration.

    Raises:
        DataError: transformers does not know it.
    """
    from transformers import AutoConfig

    with _reading(path):
        return AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)


def load_tokenizer(path: Path) -> Any:
    """The tokenizer of a directory.

    Raises:
        DataError: there is none that transformers can read.
    """
    from transformers import AutoTokenizer

    with _reading(path):
        return AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)


def load_weights(path: Path, *, dtype: str, device: str, **options: Any) -> Any:
    """The model in evaluation mode.

    Raises:
        DataError: the weights cannot be read.
    """
    import torch
    from transformers import AutoModelForCausalLM

    with _reading(path):
        model = AutoModelForCausalLM.from_pretrained(
            path,
            dtype=getattr(torch, dtype),
            device_map={"": device}
            if device != "cpu" or "quantization_config" in options
            else None,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            **options,
        )
    return model.eval()


def put_on(model: Any, adapter: Path, name: str) -> Any:
    """The model as a ``PeftModel`` that has one adapter more, by this name.

    Raises:
        DataError: the adapter does not fit the model.
    """
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors import SafetensorError, safe_open

    problem: object = "the names of its weights differ"
    try:
        with quiet(), safe_open(adapter / "adapter_model.safetensors", framework="pt") as tensors:
            if isinstance(model, PeftModel):
                model.load_adapter(adapter, adapter_name=name)
            else:
                model = PeftModel.from_pretrained(model, adapter, adapter_name=name)
            wanted = get_peft_model_state_dict(
                model, adapter_name=name, save_embedding_layers=False
            )
            if _lora_keys(wanted) == _lora_keys(tensors.keys()):
                return model
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        problem = error
    raise baft.DataError(
        f"The adapter {str(adapter)!r} does not fit its base: {problem}",
        "Name the base that it was trained on: lora:DIR?base=PATH.",
    )


def choose_device(asked: str) -> str:
    """``cpu`` or ``cuda``.

    Raises:
        UsageError: CUDA is asked for and not there.
    """
    import torch

    has_cuda = torch.cuda.is_available()
    if asked == "cuda" and not has_cuda:
        raise baft.UsageError("This machine has no CUDA device that torch can use.", "Try cpu.")
    if asked not in ("auto", "cpu", "cuda"):
        raise baft.UsageError(f"There is no device {asked!r}.", "Known: auto, cpu, cuda.")
    return "cuda" if has_cuda and asked != "cpu" else "cpu"


def choose_dtype(device: str, parameters: int) -> str:
    """``float32`` for small models on a CPU, else ``bfloat16``."""
    return "float32" if device == "cpu" and parameters < SMALL else "bfloat16"


@contextlib.contextmanager
def few_threads(parameters: int) -> Iterator[None]:
    """Compute on one thread where the model is small."""
    import torch

    before = torch.get_num_threads()
    if parameters < ONE_THREAD:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' bars, notices and deprecations off the user's screen."""
    from transformers.utils import logging

    level, had_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.set_verbosity(level)
        if had_bars:
            logging.enable_progress_bar()


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        with quiet():
            yield
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise baft.DataError(
            f"transformers cannot read {str(path)!r}: {error}".rstrip(".") + ".",
            "Models that bring their own code are not run; check that the copy is complete.",
        ) from error


def _lora_keys(keys: Iterable[str]) -> set[str]:
    return {key for key in keys if "lora_" in key}
