"""A trainer and its backend as a stranger installs them, with a listener; see ``installed``."""

from __future__ import annotations

import json
import sys

PLUGIN = '''
import json, os, pathlib
import baft

class Own:
    """Loses half of its loss with each epoch; ``lr`` says where from."""

    def train(self, role, train, val, output, options, log):
        if os.environ.get("OWN_BREAKS"):
            raise KeyboardInterrupt
        output.mkdir(parents=True, exist_ok=True)
        losses, loss = [], 1.0 if options["lr"] < 0.01 else options["lr"] * 100
        for epoch in range(1, options["epochs"] + 1):
            told = {"step": epoch, "total": options["epochs"], "epoch": epoch}
            log({**told, "loss": loss, "tokens_per_s": 9.0})
            losses.append({"epoch": epoch, "train_loss": loss, "val_loss": loss / 2})
            log({**told, "val_loss": loss / 2})
            if os.environ.get("OWN_BREAKS_AT") == f"{options['lr']} {epoch}":
                os.kill(os.getpid(), 9)
            if options["lora_dropout"] == 1.0:
                raise baft.DataError("The loss is nan.")
            loss /= 2
        kept = {"lr": options["lr"], "epochs": options["epochs"], "examples": len(train)}
        (output / "model.json").write_text(json.dumps({**kept, "resume": options["resume"]}))
        info = {"losses": losses, "best_val_loss": losses[-1]["val_loss"]}
        (output / "training_info.json").write_text(json.dumps(info))
        return info

class Backend:
    batch_size, max_concurrency = 4, None
    def __init__(self, target):
        self.spec = f"own:{target}"
        self.model = json.loads(pathlib.Path(target, "model.json").read_text())
    def fingerprint(self): return json.dumps(self.model)
    def describe(self): return {}
    async def generate(self, prompts, decoding):
        text = "title: Twenty letters of it" + "!" * int(1000 * self.model["lr"])
        return [baft.Generation(example_id=p.example_id, text=text) for p in prompts]
    async def close(self): pass

@baft.hookimpl
def baft_register_trainers(register): register("own", Own)

@baft.hookimpl
def baft_register_backends(register): register("own", lambda target, context: Backend(target))

@baft.hookimpl
def baft_training_logged(output, step):
    with open("told.jsonl", "a") as out:
        out.write(json.dumps(dict(step)) + "\\n")
'''


def installed(project, monkeypatch):
    """Yields what the listener was told, while the plugin can be imported from the project."""
    monkeypatch.syspath_prepend(project)
    (project / "own_plugin.py").write_text(PLUGIN)
    info = project / "own-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[baft]\nown = own_plugin\n")

    def told():
        log = project / "told.jsonl"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    yield told
    sys.modules.pop("own_plugin", None)
