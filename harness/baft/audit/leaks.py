"""Was an arm made from the examples that it is judged on: learnt from them, or chosen by them?"""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING

from ..records import AuditFinding, Evidence, digest
from .answers import EVIDENCE, SHOWN
from .text import near, shingles, words_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..records import Example
    from ..store.lineage import Source
    from .answers import Answer

SAME_INPUTS = 0.5
"""Share of the word triples of an example's inputs that lie in one training input, from which the
two are the same: a change of every sixth word leaves half of the triples whole."""
FORM = 0.05
"""A word triple that more than this share of the examples have (and more than two of them) is the
form in which inputs are asked, no sign that two are the same."""
FEW = 4
"""Inputs with fewer word triples must lie in the other whole: two short texts meet by chance."""
AT_ONCE = 1_000
"""So many examples are compared with the training data at a time; as many tell what form is."""
LEAKED = 0.05
"""Share of examples known from training above which the arm is void. What a leak can add to the
mean is at most that share times the room above an honest score: at 0.05 no more than 0.004 for a
model at 0.8535 of 0.9286, a sixth of the standard error of 22 examples."""

OPTIMISTIC = "the score is optimistic"


def leaks(
    examples: Sequence[Example], answers: Sequence[Answer], sources: Sequence[Source]
) -> list[AuditFinding]:
    """One finding for each dataset that the arm learnt from, and for each that is not there."""
    scores = {answer.example.id: answer.score for answer in answers}
    found = []
    for source in sources:
        if source.examples is None:
            found.append(_unchecked(source))
        elif source.use == "trained" and examples:
            found.append(_trained(examples, source, source.examples, scores))
    return found


def shared(examples: Sequence[Example], others: Sequence[Example]) -> dict[int, tuple[int, float]]:
    """By index of each example whose inputs another has, exactly or nearly: index and share.

    Exact, by a sparse product: MinHash would estimate what a few seconds compute, see
    benchmarks/README.md. The examples may lie on disk: they are read ``AT_ONCE`` at a time.
    """
    exact = {digest(dict(other.inputs)): j for j, other in enumerate(others)}
    form = _form(examples)
    theirs = [shingles(words_of(other.inputs)) - form for other in others]
    found: dict[int, tuple[int, float]] = {}
    rest = iter(examples)
    for start in range(0, len(examples), AT_ONCE):
        part = list(islice(rest, AT_ONCE))
        sets = [shingles(words_of(example.inputs)) - form for example in part]
        for i, j, share in near(sets, theirs, at_least=SAME_INPUTS, contained=True):
            is_enough = sets[i] and (share >= 1 or len(sets[i]) >= FEW)
            if is_enough and share > found.get(start + i, (0, 0.0))[1]:
                found[start + i] = j, share
        for i, example in enumerate(part, start=start):
            same = exact.get(digest(dict(example.inputs)))
            if same is not None:
                found[i] = same, 1.0
    return dict(sorted(found.items()))


def _form(examples: Sequence[Example]) -> set[tuple[str, ...]]:
    """The word triples in which inputs are asked, as evenly spaced examples tell."""
    step = max(1, -(-len(examples) // AT_ONCE))
    sample = [shingles(words_of(one.inputs)) for one in islice(examples, None, None, step)]
    seen = Counter(triple for one in sample for triple in one)
    return {triple for triple, n in seen.items() if n > max(2, FORM * len(sample))}


def selected_on(examples: Sequence[Example], dataset_sha256: str, sources: Sequence[Source]) -> str:
    """How the arm was chosen by the very examples it is judged on, in words; empty if it was not.

    Args:
        examples: of the run.
        dataset_sha256: of the file they come from.
        sources: the data the arm was made with.
    """
    said = []
    for source in sources:
        if source.use == "trained":
            continue
        n = 0
        if source.sha256 and source.sha256 == dataset_sha256:
            n = len(examples)
        elif source.examples is not None:
            n = len(shared(examples, source.examples))
        if source.insisted and not n and source.examples is None:
            said.append(f"selected on a benchmark's own examples: {OPTIMISTIC}")
        if n:
            which = "these examples" if n == len(examples) else f"{n} of these {len(examples)}"
            said.append(
                f"selected on {which}: {OPTIMISTIC}"
                if source.use == "selected"
                else f"its best epoch was chosen by the loss on {which}: the score may be "
                "slightly optimistic"
            )
    return "; ".join(dict.fromkeys(said))


def _unchecked(source: Source) -> AuditFinding:
    name = "training_inputs" if source.use == "trained" else "selection"
    what = _learnt(source) if source.use == "trained" else "it was chosen by"
    return AuditFinding(
        name=name,
        passed=True,
        checked=False,
        observed=None,
        required=_required(),
        why=(
            f"Could not be checked: of {source.name or 'the data'}, which {what}, {source.problem}."
            if source.problem.startswith(("the file", "it has"))
            else f"Could not be checked: {source.problem}."
        ),
    )


def _learnt(source: Source) -> str:
    return "the benchmark names as training data" if source.named else "it learnt from"


def _required() -> str:
    return f"at most {LEAKED:.0%} of the examples in its training data"


def _trained(
    examples: Sequence[Example],
    source: Source,
    training: Sequence[Example],
    scores: Mapping[str, float],
) -> AuditFinding:
    found = shared(examples, training)
    share = len(found) / len(examples)
    ids = tuple(examples[i].id for i in found)
    known = set(ids)
    rest = [score for id_, score in scores.items() if id_ not in known]
    why = f"{len(found)} of {len(examples)} examples are in {source.name}, which {_learnt(source)}"
    if found and rest:
        why += f"; its mean without them is {sum(rest) / len(rest):.4f}"
    return AuditFinding(
        name="training_inputs",
        passed=share <= LEAKED,
        observed=share,
        required=_required(),
        why=f"{why}.",
        examples=ids,
        evidence=tuple(
            Evidence(
                example=examples[i].id,
                text=_inputs(examples[i]),
                other=f"{source.name}: {training[j].id}",
                other_text=_inputs(training[j]),
            )
            for i, (j, _) in list(found.items())[:SHOWN]
        ),
    )


def _inputs(example: Example) -> str:
    return " · ".join(str(value) for value in example.inputs.values())[:EVIDENCE]
