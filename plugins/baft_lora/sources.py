"""Where models and adapters lie: find, check and fingerprint their directories.

Safetensors only, and nothing is fetched unless downloads are allowed. Torch is not needed.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import baft

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TOKENIZER_FILES = (
    "added_tokens.json",
    "chat_template.jinja",
    "merges.txt",
    "special_tokens_map.json",
    "tekken.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
)

PACKED = ".quant_state.bitsandbytes__"
"""Part of the name of what stands beside each weight that bitsandbytes packed to four bits."""

CHECKLIST = (
    "(1) On a machine with internet: hf download {name} --local-dir {folder}. "
    "(2) Copy that folder here. (3) Then {point}."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Where the parts of one model lie."""

    base: Path
    """Directory with ``config.json`` and the weights."""
    adapter: Path | None = None
    """Directory with ``adapter_config.json`` and ``adapter_model.safetensors``."""

    @property
    def tokenizer(self) -> Path:
        """The adapter's directory where it brings a tokenizer, else the base's."""
        mine = self.adapter
        if mine and any((mine / n).is_file() for n in ("tokenizer.json", "tokenizer.model")):
            return mine
        return self.base


def find_model(name: str, *, allow_download: bool, point: str = "name it as hf:FOLDER") -> Path:
    """The directory of a base model: a path, or a hub id found in the local cache.

    Raises:
        DataError: it is not there, or has no safetensors weights.
    """
    path = Path(name).expanduser()
    if not path.is_dir():
        if path.exists():
            raise baft.DataError(
                f"The model {name!r} is a file.", "Name the folder that holds config.json."
            )
        path = _from_hub(name, allow_download=allow_download, point=point)
    if not (path / "config.json").is_file():
        raise baft.DataError(
            f"{str(path)!r} holds no config.json, so it is no model in Hugging Face format.",
            "Name the folder that holds config.json and *.safetensors.",
        )
    weight_files(path)
    return path


def _from_hub(name: str, *, allow_download: bool, point: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    steps = CHECKLIST.format(name=name, folder=name.rpartition("/")[2], point=point)
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise baft.DataError(f"The model folder {name!r} does not exist.", f"Check it, or {point}.")
    try:
        found = snapshot_download(
            name,
            local_files_only=not allow_download,
            allow_patterns=["*.json", "*.safetensors", "*.jinja", "*.model", "merges.txt"],
            ignore_patterns=["consolidated*", "original/*"],  # the same weights once more
        )
    except HFValidationError as error:
        raise baft.DataError(f"{name!r} is neither a folder nor a hub id.", steps) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        where = "on the hub" if allow_download else "as a folder or in the local hub cache"
        raise baft.DataError(
            f"The model {name!r} was not found {where}.",
            steps if allow_download else f"{steps} Or allow the download: --allow-download.",
        ) from error
    return Path(found)


def find_adapter(name: str) -> Path:
    """The directory of a LoRA adapter.

    Raises:
        DataError: it is no LoRA adapter in safetensors.
    """
    path = Path(name).expanduser()
    if not (path / "adapter_config.json").is_file():
        raise baft.DataError(
            f"{name!r} holds no adapter_config.json, so it is no adapter.",
            "Name the folder that training wrote; a whole model is opened as hf:FOLDER.",
        )
    kind = adapter_config(path).get("peft_type")
    if kind != "LORA":
        raise baft.DataError(f"The adapter {name!r} is of type {kind!r}.", "Only LoRA is run.")
    if not (path / "adapter_model.safetensors").is_file():
        raise baft.DataError(
            f"The adapter {name!r} has no adapter_model.safetensors.", _unpickled(path)
        )
    return path


def adapter_config(path: Path) -> dict[str, Any]:
    """The content of ``adapter_config.json``."""
    return read_json(path / "adapter_config.json")


def find_base(adapter: Path, override: str | None, *, allow_download: bool) -> Path:
    """The directory of the base that an adapter needs.

    A relative name is looked up from here, from the adapter's folder, and from the folders above
    it, so that a project works wherever it was cloned to.

    Raises:
        DataError: it is not there.
    """
    point = f"write lora:{adapter}?base=FOLDER"
    if override:
        return find_model(override, allow_download=allow_download, point=point)
    name = adapter_config(adapter).get("base_model_name_or_path")
    if not name:
        raise baft.DataError(f"The adapter {str(adapter)!r} names no base model.", f"{point}.")
    here = adapter.resolve()
    for folder in (Path(), here, *here.parents):
        if (folder / name / "config.json").is_file():
            return find_model(str(folder / name), allow_download=False)
    try:
        return find_model(name, allow_download=allow_download, point=point)
    except baft.DataError as error:
        raise baft.DataError(
            f"The adapter {str(adapter)!r} needs the base model {name!r}: {error.message}",
            error.hint,
        ) from error


def weight_files(path: Path) -> list[Path]:
    """The safetensors files of a model, sorted.

    Raises:
        DataError: there are none, or some that the index names are missing.
    """
    index = path / "model.safetensors.index.json"
    if index.is_file():
        named = sorted(set(read_json(index).get("weight_map", {}).values()))
        missing = [name for name in named if not (path / name).is_file()]
        if missing:
            raise baft.DataError(
                f"{str(path)!r} lacks {len(missing)} of {len(named)} weight files: "
                f"{', '.join(missing[:3])}.",
                "Copy or download the model again.",
            )
        return [path / name for name in named]
    whole = path / "model.safetensors"
    if not whole.is_file():
        raise baft.DataError(f"{str(path)!r} holds no safetensors weights.", _unpickled(path))
    return [whole]


def parameter_count(files: list[Path]) -> int:
    """Weights stored in safetensors files, from their headers alone; two to a byte of 4-bit ones.

    Raises:
        DataError: a file is damaged.
    """
    return sum(count for _, count in stored(files))


def stored(files: list[Path]) -> Iterator[tuple[str, int]]:
    """Number format (``BF16``, ``NF4``, …) and count of each weight, from the headers alone.

    Raises:
        DataError: a file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    for file in files:
        try:
            with safe_open(file, framework="pt") as tensors:
                keys = list(tensors.keys())
                packed = {key.partition(PACKED)[0] for key in keys if PACKED in key}
                for key in keys:
                    owner, point, _ = key.rpartition(".weight.")
                    if point and f"{owner}.weight" in packed:
                        continue  # the scales of a packed weight
                    part = tensors.get_slice(key)
                    size = math.prod(part.get_shape())
                    yield ("NF4", 2 * size) if key in packed else (part.get_dtype(), size)
        except (SafetensorError, OSError) as error:
            raise baft.DataError(
                f"{str(file)!r} is no readable safetensors file: {error}.",
                "Copy or download it again.",
            ) from error


def quantization(path: Path) -> str | None:
    """How the weights of a model are quantized: ``bnb4``, another method's name, or None.

    Raises:
        DataError: ``config.json`` is none.
    """
    found = read_json(path / "config.json").get("quantization_config")
    if not isinstance(found, dict):
        return None
    method = str(found.get("quant_method"))
    return "bnb4" if method == "bitsandbytes" and found.get("load_in_4bit") else method


def model_digest(path: Path) -> str:
    """Hash of a model's configuration and weights."""
    files = [path / "config.json", *weight_files(path)]
    return baft.digest({file.name: file_sha256(file) for file in files})


def adapter_digest(path: Path) -> str:
    """Hash of an adapter's weights and configuration, but not of where its base lies."""
    config = adapter_config(path)
    config.pop("base_model_name_or_path", None)
    weights = file_sha256(path / "adapter_model.safetensors")
    return baft.digest({"config": config, "weights": weights})


def tokenizer_digest(path: Path) -> str:
    """Hash of the tokenizer's files, chat template included."""
    files = [path / name for name in TOKENIZER_FILES]
    return baft.digest({file.name: file_sha256(file) for file in files if file.is_file()})


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        DataError: the file is none.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise baft.DataError(f"{str(path)!r} is no readable JSON: {error}.") from error
    if not isinstance(content, dict):
        raise baft.DataError(f"{str(path)!r} holds no JSON object.")
    return content


def _unpickled(path: Path) -> str:
    """What to do about a directory without safetensors."""
    pickled = [f.name for ending in ("bin", "pt", "pth") for f in path.glob(f"*.{ending}")]
    if not pickled:
        return "Copy or download the model again."
    return (
        f"{pickled[0]} is a pickle, which can run code and is not opened: load it where you trust "
        "it and save it again with save_pretrained, which writes safetensors."
    )


TOLD = (
    "finished",
    "train_examples",
    "val_examples",
    "train_dataset",
    "val_dataset",
    "train_sha256",
    "val_sha256",
    "epochs",
    "steps",
    "losses",
    "best_val_loss",
)
"""What an arm tells of its training; the file in the adapter's directory holds the rest."""

MOST_STEPS = 400
"""Losses by step that an arm tells; more are told as means of neighbours."""


def training_of(adapter: Path) -> dict[str, Any]:
    """The training that made an adapter: the facts that a report shows; empty where none is told.

    The directory may come from anywhere, so nothing is promised about the values.
    """
    try:
        info = json.loads((adapter / "training_info.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        return {"problem": f"{adapter / 'training_info.json'} is not valid JSON: {error}."}
    if not isinstance(info, dict):
        return {"problem": f"{adapter / 'training_info.json'} holds no object."}
    told = {name: info[name] for name in TOLD if name in info}
    steps = info.get("step_losses")
    if isinstance(steps, list) and all(type(loss) in (int, float) for loss in steps):
        told["step_losses"] = thinned(steps, MOST_STEPS)
    return told


def thinned(values: Sequence[float], most: int) -> list[float]:
    """At most so many means of neighbouring values, all of as many values but the last.

    >>> thinned([1, 3, 5, 7, 9], 3)
    [2.0, 6.0, 9.0]
    """
    width = -(-len(values) // most) or 1
    starts = range(0, len(values), width)
    return [sum(chunk) / len(chunk) for chunk in (values[i : i + width] for i in starts)]
