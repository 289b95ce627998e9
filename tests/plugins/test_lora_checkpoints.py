"""Checkpoints are whole or not there: full disks, kills, and what goes on from them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")
pytest.importorskip("resource")


import baft
from baft.testing import make_tiny_mistral
from baft_lora import checkpoints
from baft_lora.trainer import LoraTrainer
from plugins.echo import TRAIN, VAL, Echo

RUN = """
import sys
from pathlib import Path
from baft import Interrupted
from baft_lora.trainer import LoraTrainer
from plugins.echo import TRAIN, VAL, Echo

options = {"base_model": sys.argv[1], "device": "cpu", "grad_accum": 2, "lr": 1e-2, "epochs": 12}
LoraTrainer().train(Echo(), TRAIN, VAL, Path(sys.argv[2]), options, lambda step: None)
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_tiny_mistral(tmp_path_factory.mktemp("models") / "tiny")


def train(base, output, **more):
    options = {"base_model": str(base), "device": "cpu", "grad_accum": 2, "lr": 1e-2} | more
    return LoraTrainer().train(Echo(), TRAIN, VAL, output, options, lambda step: None)


def begin(base, output, limit=None, within=()):
    """The same training in a process of its own, with at most ``limit`` bytes in a file."""

    import resource

    def limited():
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.Popen(
        [*within, sys.executable, "-c", RUN, str(base), str(output)],
        env={**os.environ, "PYTHONPATH": "tests", "OMP_NUM_THREADS": "1"},
        preexec_fn=limited,
        stderr=subprocess.PIPE,
        text=True,
    )


def fail_writing(source, target):
    with checkpoints.writing(target):
        shutil.copytree(source, target)
        raise OSError(28, "No space left on device")


def test_a_checkpoint_that_was_written_is_whole_and_one_that_failed_is_gone(tmp_path):
    checkpoint = tmp_path / "checkpoint-3"
    with checkpoints.writing(checkpoint):
        checkpoint.mkdir()
        (checkpoint / "weights").write_bytes(b"12345")
        assert not checkpoints.is_whole(checkpoint)
    assert checkpoints.last_whole(tmp_path) == checkpoint
    with pytest.raises(baft.DataError, match=r"checkpoint-6 could not be written: No space left"):
        fail_writing(checkpoint, tmp_path / "checkpoint-6")
    assert not (tmp_path / "checkpoint-6").exists()


@pytest.mark.parametrize("harm", ["cut", "lost", "unmarked", "odd mark"])
def test_a_checkpoint_cut_short_is_no_checkpoint(tmp_path, harm):
    for step in (3, 12):
        checkpoint = tmp_path / f"checkpoint-{step}"
        with checkpoints.writing(checkpoint):
            checkpoint.mkdir()
            (checkpoint / "weights").write_bytes(b"12345")
    if harm == "cut":
        (checkpoint / "weights").write_bytes(b"123")
    elif harm == "lost":
        (checkpoint / "weights").unlink()
    elif harm == "unmarked":
        (checkpoint / checkpoints.MARK).unlink()
    else:
        (checkpoint / checkpoints.MARK).write_text("[[")
    (tmp_path / "checkpoint-best").mkdir()
    assert checkpoints.last_whole(tmp_path) == tmp_path / "checkpoint-3"
    checkpoints.remove_broken(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-3", "checkpoint-best"]


def test_room_is_looked_for_before_it_is_needed(tmp_path):
    checkpoints.check_room(tmp_path, 1)
    with pytest.raises(baft.DataError, match=r"1,000,000,000,000\.0 MB must be written") as caught:
        checkpoints.check_room(tmp_path, 10**18)
    assert "--resume" in caught.value.hint


def test_what_a_checkpoint_needs_is_what_it_takes(base, tmp_path):
    info = train(base, tmp_path / "out", epochs=1)
    (checkpoint,) = (tmp_path / "out").glob("checkpoint-*")
    taken = sum(path.stat().st_size for path in checkpoint.iterdir())
    expected = checkpoints.expected_bytes(info["trainable_params"], 4)
    assert expected - checkpoints.BESIDE <= taken <= expected


def test_a_finished_run_that_goes_on_ends_the_same(base, tmp_path):
    info = train(base, tmp_path / "out", epochs=2)
    again = train(base, tmp_path / "out", epochs=2, resume=True)
    assert again["adapter_sha256"] == info["adapter_sha256"]
    assert again["steps"] == info["steps"]


@pytest.mark.slow
def test_a_disk_that_takes_no_more_leaves_whole_checkpoints(base, tmp_path):
    process = begin(base, tmp_path / "out", limit=30_000)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 1
    assert "baft.errors.DataError: The checkpoint checkpoint-3 could not be written" in err
    assert not list((tmp_path / "out").glob("checkpoint-*"))
    assert not (tmp_path / "out" / "adapter_config.json").exists()
    info = train(base, tmp_path / "out", epochs=12, resume=True)
    assert info["finished"]


@pytest.mark.slow
def test_a_small_disk_is_found_too_small_before_the_first_step(base, tmp_path):
    script = f'mount -t tmpfs -o size=3m none {tmp_path} && exec "$@"'
    within = ("unshare", "-rm", "sh", "-c", script, "sh")
    if subprocess.run([*within, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system lets nobody mount a small disk")
    process = begin(base, tmp_path / "out", within=within)
    _, err = process.communicate(timeout=240)
    assert "has 3 MB free" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("wait_for", ["checkpoint-3", "checkpoint-12"])
def test_a_killed_run_goes_on_to_the_same_weights(base, tmp_path, wait_for):
    output = tmp_path / "out"
    process = begin(base, output)
    deadline = time.monotonic() + 240
    while not (output / wait_for).exists() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert json.loads((output / "training_info.json").read_text())["finished"] is False
    info = train(base, output, epochs=12, resume=True)
    whole = train(base, tmp_path / "whole", epochs=12)
    assert info["steps"] == whole["steps"] == 36
    assert info["adapter_sha256"] == whole["adapter_sha256"]
    assert info["step_losses"] == whole["step_losses"]
