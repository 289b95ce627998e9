"""Reading models and adapters into memory, and what they run on.

No code of a model is run, and nothing is fetched.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import sys
import warnings
from typing import TYPE_CHECKING, Any

import baft

from . import sources

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from .options import Options

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


def load_weights(path: Path, *, dtype: str, device: str) -> Any:
    """The model in evaluation mode.

    Args:
        path: its folder.
        dtype: ``float32``, ``bfloat16`` or ``bnb4``: four bits, quantized now unless they are so.
        device: ``cpu`` or ``cuda``.

    Raises:
        DataError: the weights cannot be read.
        UsageError: four bits are asked for, and bitsandbytes is not there.
    """
    import torch
    from transformers import AutoModelForCausalLM

    options: dict[str, Any] = {}
    if dtype == "bnb4":
        require_four_bits()
        options["device_map"] = {"": device}
        if not sources.quantization(path):
            options["quantization_config"] = four_bits()
    elif device != "cpu":
        options["device_map"] = {"": device}
    with _reading(path):
        model = AutoModelForCausalLM.from_pretrained(
            path,
            dtype=torch.float32 if dtype == "float32" else torch.bfloat16,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            **options,
        )
    return model.eval()


def four_bits() -> Any:
    """What transformers is told: NF4, double quantization, computing in bfloat16."""
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def has_four_bits() -> bool:
    """Whether bitsandbytes is installed."""
    return importlib.util.find_spec("bitsandbytes") is not None


def require_four_bits() -> None:
    """Make bitsandbytes ready.

    Raises:
        UsageError: it is not installed.
    """
    if not has_four_bits():
        raise baft.UsageError(
            "Quantization bnb4 needs the package 'bitsandbytes', which is not installed.",
            'Install it: pip install "baft[bnb4]", or use --quantization bf16.',
        )
    tame_four_bits()


def tame_four_bits() -> None:
    """Import bitsandbytes, where it is installed, before another library does.

    Where the package ``kernels`` is installed it would fetch a kernel from the hub and run it, and
    where it is not, tell the user to install that: neither is wanted.
    """
    if not has_four_bits() or "bitsandbytes" in sys.modules:
        return
    logger = logging.getLogger("bitsandbytes.backends.cpu.ops")
    level, kernels = logger.level, sys.modules.get("kernels")
    logger.setLevel(logging.ERROR)
    sys.modules["kernels"] = None  # type: ignore[assignment]  # Python's "not to be imported"
    try:
        importlib.import_module("bitsandbytes")
    finally:
        logger.setLevel(level)
        del sys.modules["kernels"]
        if kernels is not None:
            sys.modules["kernels"] = kernels


def adapt(model: Any, options: Options) -> Any:
    """The model with a fresh LoRA on, as a ``PeftModel``.

    Raises:
        UsageError: it has no modules of the names that are asked for.
    """
    tame_four_bits()  # peft would import it
    from peft import LoraConfig, get_peft_model

    from .adding import quicken

    config = LoraConfig(
        r=options.lora_r,
        lora_alpha=options.lora_alpha,
        lora_dropout=options.lora_dropout,
        target_modules=list(options.target_modules),
        task_type="CAUSAL_LM",
    )
    try:
        with quiet():
            adapted = get_peft_model(model, config)
    except ValueError as error:
        raise baft.UsageError(
            f"The model has no modules named {', '.join(options.target_modules)}: {error}",
            "Name its linear layers with --target-modules.",
        ) from error
    quicken(adapted)
    return adapted


def put_on(model: Any, adapter: Path, name: str) -> Any:
    """The model as a ``PeftModel`` that has one adapter more, by this name.

    Raises:
        DataError: the adapter does not fit the model.
    """
    tame_four_bits()  # peft would import it
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


def multiplies_bf16() -> bool:
    """Whether this CPU has instructions for it; without them float32 is faster."""
    import torch

    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


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
    except (SafetensorError, OSError, ValueError, KeyError, ImportError) as error:
        raise baft.DataError(
            f"transformers cannot read {str(path)!r}: {error}".rstrip(".") + ".",
            "Models that bring their own code are not run; check that the copy is complete.",
        ) from error


def _lora_keys(keys: Iterable[str]) -> set[str]:
    return {key for key in keys if "lora_" in key}
