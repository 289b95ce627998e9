"""Where a pocket model says the same for ever: lessons in what not to say, from its own answers.

``PYTHONPATH=harness:plugins python benchmarks/pocket/loops.py --model DIR --output FILE`` answers
questions of the corpus and keeps the answers that run into a loop; ``train.py --loops FILE`` then
makes each new round of such a loop unlikely (Welleck et al. 2020, Neural Text Generation with
Unlikelihood Training, section 5: sequences the model itself decoded).
"""

from __future__ import annotations

import argparse
import json
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from corpus import Corpus
from model import IGNORED, Group, unlikely
from tokenizer import render

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST = 40  # tokens of one round
ROUNDS = 6  # rounds that a lesson shows


def loop(answer: Sequence[int], least: int = 4) -> tuple[int, int] | None:
    """Where the first loop begins and how long a round is, in tokens.

    Args:
        answer: token ids.
        least: rounds in a row that are a loop; one token alone has to come twice as often, because
            numbers hold as many zeros.
    """
    for start in range(len(answer)):
        for period in range(1, LONGEST + 1):
            rounds = 2 * least if period == 1 else least
            end = start + rounds * period
            if end > len(answer):
                break
            if all(answer[i] == answer[i + period] for i in range(start, end - period)):
                return start, period
    return None


def endless(answer: Sequence[int]) -> bool:
    """Whether the answer ends in its first loop."""
    found = loop(answer)
    return found is not None and all(
        answer[i] == answer[i + found[1]] for i in range(found[0], len(answer) - found[1])
    )


def lesson(prompt: Sequence[int], answer: Sequence[int]) -> Group | None:
    """The answer up to a few rounds of its first loop, in which more rounds are unlikely.

    The beginning of the second one is, and all of what comes after.
    """
    found = loop(answer)
    if found is None:
        return None
    start, period = found
    seen = answer[: start + ROUNDS * period]
    targets = [IGNORED] * len(seen)
    for i in (start + period, *range(start + 2 * period, len(seen))):
        if seen[i] == seen[i - period]:  # the loop may have ended
            targets[i] = unlikely(seen[i])
    return Group(
        prefix=tuple(prompt), branches=(tuple(seen),), targets=(tuple(targets),), kind="loop"
    )


def read(files: Sequence[Path]) -> list[Group]:
    """The lessons in these files."""
    lines = (line for file in files for line in file.read_text().splitlines())
    lessons = (lesson(row["prompt"], row["answer"]) for row in map(json.loads, lines))
    return [group for group in lessons if group]


def main() -> None:
    """Ask, and write the prompts and answers that loop."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from baft_lora.sampling import decode

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--questions", type=int, default=2000)
    parser.add_argument("--prompt", type=int, default=300, help="most tokens of a question")
    parser.add_argument("--tokens", type=int, default=160, help="of an answer; most loop early")
    parser.add_argument("--temperature", type=float, default=0.85)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(options.model, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(
        options.model, dtype=torch.float32, local_files_only=True
    ).eval()
    corpus = Corpus(options.seed, written_share=0.45)
    prompts = (
        tokenizer(render(chat.messages), add_special_tokens=False)["input_ids"]
        for group in corpus.groups(0.0)
        for chat in group.chats
    )
    short = (prompt for prompt in prompts if len(prompt) <= options.prompt)
    asked = found = never = 0
    with options.output.open("w") as out:
        while batch := list(islice(short, min(64, options.questions - asked))):
            answers = decode(
                model,
                batch,
                temperature=options.temperature,
                seed=options.seed,
                limits=[options.tokens] * len(batch),
                stop_ids={tokenizer.eos_token_id},
            )
            looping = [(p, a) for p, a in zip(batch, answers, strict=True) if loop(a)]
            asked += len(batch)
            found += len(looping)
            never += sum(endless(answer) for _, answer in looping)
            for prompt, answer in looping:
                out.write(json.dumps({"prompt": prompt, "answer": answer}) + "\n")
            out.flush()
            print(f"{found} loops in {asked} answers, {never} of them to the end", flush=True)


if __name__ == "__main__":
    main()
