"""An adapter merged into its base: one model in Hugging Face format that answers like the two.

Merging is done in bfloat16 or float32 and never into quantized weights, whose rounding would
swallow much of the adapter (peft#2105, #2321). The written model is read back and compared.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import baft

from . import loading, sources

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

DTYPES = {"fp32": "float32", "bf16": "bfloat16"}

WIDTH = {"float32": 4, "bfloat16": 2}
"""Bytes."""

LARGEST_DIFFERENCE = {"float32": 1e-3, "bfloat16": 0.1}
"""Of a logit, as a share of the largest one: what rounding explains. Merging in bfloat16 rounds the
sum of weight and adapter to 8 bits: the pocket adapter differs by 0.023, and by 1e-6 in float32."""

INFO = "export_info.json"


def merge(
    parts: sources.Parts,
    tokenizer: Any,
    probe: Sequence[int],
    output: Path,
    *,
    dtype: str,
    facts: Mapping[str, Any],
    log: Callable[[Mapping[str, Any]], None],
) -> dict[str, Any]:
    """Write the merged model; returns what ``export_info.json`` holds.

    Args:
        parts: where base and adapter lie; without an adapter the base itself is written.
        tokenizer: as it is evaluated, chat template included.
        probe: token ids of a prompt on which the written model is compared.
        output: folder; left as it is where it holds the same model already.
        dtype: ``float32`` or ``bfloat16``.
        facts: ``source`` and ``fingerprint`` of the model, for the record.
        log: told ``{"message"}``.

    Raises:
        DataError: the base is quantized, the parts do not fit, the folder is taken or the disk
            full.
    """
    wanted = {**facts, "dtype": dtype}
    found = _found(output, {key: wanted[key] for key in ("fingerprint", "dtype")})
    if found is not None:
        log({"message": f"{output} holds this merged model already"})
        return found
    _check_base(parts)
    size = sources.parameter_count(sources.weight_files(parts.base)) * WIDTH[dtype]
    _check_room(output, size)
    log({"message": f"merging in {dtype}: {size / 1e9:.2f} GB"})
    part = output.with_name(output.name + ".part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        difference = _write(parts, tokenizer, probe, part, dtype)
        files = {f.name: sources.file_sha256(f) for f in sorted(part.iterdir())}
        info = {**wanted, "largest_difference": difference, "files": files}
        (part / INFO).write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")
        part.replace(output)
    except OSError as error:
        raise baft.DataError(
            f"The merged model could not be written to {output}: {error}.",
            "Free some space or name another folder.",
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return info


def _check_base(parts: sources.Parts) -> None:
    """Raises: DataError: the weights of the base are quantized."""
    config = sources.read_json(parts.base / "config.json")
    quantized = config.get("quantization_config")
    if quantized:
        method = quantized.get("quant_method") if isinstance(quantized, dict) else quantized
        raise baft.DataError(
            f"The weights of {str(parts.base)!r} are quantized ({method}); nothing is merged into "
            "such weights.",
            f"Name the base in full precision: lora:{parts.adapter or 'ADAPTER'}?base=FOLDER.",
        )


def _check_room(output: Path, size: int) -> None:
    if output.is_dir() and any(output.iterdir()):
        raise baft.DataError(
            f"{output} is not empty and holds another model.", "Name another folder or remove it."
        )
    folder = next(f for f in output.resolve().parents if f.is_dir())
    free = shutil.disk_usage(folder).free
    if free < size * 1.1:
        raise baft.DataError(
            f"{folder} has {free / 1e9:.1f} GB free; the merged model needs {size / 1e9:.1f} GB.",
            "Free some space or name another folder.",
        )


def _found(output: Path, wanted: Mapping[str, Any]) -> dict[str, Any] | None:
    """The record of a model that is there, whole and the one wanted."""
    if not (output / INFO).is_file():
        return None
    info = sources.read_json(output / INFO)
    files = info.get("files")
    if not isinstance(files, dict) or any(info.get(key) != wanted[key] for key in wanted):
        return None
    for name, sha256 in files.items():
        path = output / Path(name).name
        if not path.is_file() or sources.file_sha256(path) != sha256:
            return None
    return info


def _write(
    parts: sources.Parts, tokenizer: Any, probe: Sequence[int], folder: Path, dtype: str
) -> float:
    """Write the model; returns the largest difference of a logit, as a share of the largest."""
    model = loading.load_weights(parts.base, dtype=dtype, device="cpu")
    if parts.adapter is not None:
        model = loading.put_on(model, parts.adapter, "merged")
    before = _logits(model, probe)
    with loading.quiet():
        if parts.adapter is not None:
            model = _merged(model, parts.adapter)
        model.save_pretrained(folder)
    del model
    _copy_tokenizer(parts.tokenizer, tokenizer, folder)
    _tell_rope(folder / "config.json")
    after = _logits(loading.load_weights(folder, dtype=dtype, device="cpu"), probe)
    difference = float((before - after).abs().max() / before.abs().max())
    if not difference <= LARGEST_DIFFERENCE[dtype]:  # NaN too
        raise baft.DataError(
            f"The merged model does not answer like the adapter: logits differ by {difference:.2g} "
            "of the largest.",
            "Try --dtype fp32; adapters on tied embeddings cannot be merged.",
        )
    return difference


def _copy_tokenizer(source: Path, tokenizer: Any, folder: Path) -> None:
    """The files as they are, and the chat template that is evaluated."""
    for name in sources.TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
    if tokenizer.chat_template:
        template = folder / "chat_template.jinja"
        template.write_text(tokenizer.chat_template, encoding="utf-8")


def _tell_rope(path: Path) -> None:
    """Name the base of the rotary embedding where converters older than transformers 5 look."""
    config = sources.read_json(path)
    rope = config.get("rope_parameters")
    if isinstance(rope, dict) and "rope_theta" in rope:
        config.setdefault("rope_theta", rope["rope_theta"])
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _merged(model: Any, adapter: Path) -> Any:
    try:
        return model.merge_and_unload(safe_merge=True)
    except (ValueError, NotImplementedError, RuntimeError) as error:
        raise baft.DataError(
            f"The adapter {str(adapter)!r} cannot be merged: {error}.".replace("..", "."),
            "Serve it as it is: promote the run, or `baft serve`.",
        ) from error


def _logits(model: Any, probe: Sequence[int]) -> Any:
    """Logits after each token of the probe, in float64."""
    import torch

    parameters = sum(p.numel() for p in model.parameters())
    with torch.inference_mode(), loading.few_threads(parameters):
        return model(input_ids=torch.tensor([list(probe)])).logits[0].double()  # (T, vocabulary)
