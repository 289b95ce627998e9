"""The ways a document can be written, and the sentences that ask for each of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

LISTS = ("functional_requirements", "non_functional_requirements", "constraints")
PREFIXES = {"functional_requirements": "FR", "non_functional_requirements": "NFR"}
PREFIXES |= {"constraints": "C"}
# Words that no good title starts with: so the first word of a title tells its style.
SHORT_TITLES = {
    "en": ("Project", "Concept", "Draft", "Idea", "Tool", "Untitled"),
    "es": ("Proyecto", "Concepto", "Borrador", "Idea"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """Everything about an answer that is not its content."""

    layout: str = "yaml"  # yaml, fenced, prose (a sentence before a fence) or markdown
    ids: str = "FR001"  # FR001, FR1, FR-001, REQ001 or 1, here for the functional list
    title: str = "normal"  # short (under 10 characters), normal or long
    description: str = "medium"  # short (under 100 characters), medium or long
    counts: tuple[int, int, int] = (4, 3, 2)
    priority: bool = True
    constraints: bool = True
    mappings: bool = True  # items are mappings rather than plain strings


def mixture(random: Random, good: float = 0.1) -> Style:
    """The style of an answer nobody steered: sometimes complete, mostly flawed somewhere."""
    if random.random() < good:
        return complete(random)
    style = Style(
        layout=_draw(random, yaml=0.74, fenced=0.12, prose=0.09, markdown=0.05),
        ids=_draw(
            random, **{"FR001": 0.27, "FR1": 0.05, "FR-001": 0.32, "REQ001": 0.18, "1": 0.18}
        ),
        title=_draw(random, short=0.05, normal=0.87, long=0.08),
        description=_draw(random, short=0.15, medium=0.6, long=0.25),
        priority=random.random() < 0.64,
        constraints=random.random() < 0.48,
        mappings=random.random() < 0.9,
    )
    if random.random() < 0.42:
        return replace(style, counts=tuple(random.choice((1, 1, 2)) for _ in LISTS))
    return replace(style, counts=_counts(random))


def complete(random: Random) -> Style:
    """A style with nothing missing."""
    description = _draw(random, medium=0.6, long=0.4)
    return Style(description=description, counts=_counts(random))


def _counts(random: Random) -> tuple[int, int, int]:
    return (
        random.choice((3, 4, 4, 5, 6, 7)),
        random.choice((2, 3, 3, 4, 5)),
        random.choice((2, 2, 3, 4)),
    )


def _draw(random: Random, **weights: float) -> str:
    return random.choices(list(weights), list(weights.values()))[0]


NUMBERS = ("zero", "one", "two", "three", "four", "five", "six")

CLAUSES: dict[str, tuple[str, ...]] = {
    "ids": (
        "Write ids as FR001, NFR001 and C001.",
        "Number the items FR001, FR002 and so on, NFR001 for quality and C001 for constraints.",
        "Ids have a prefix and three digits, like FR001, NFR001, C001.",
        "Use the id format FR001 for functional, NFR001 for non-functional, C001 for constraints.",
        "Each id is its prefix (FR, NFR or C) followed by three digits without a dash.",
        "IDs must follow the pattern FR### / NFR### / C###, with no hyphen.",
        "Los ids se escriben FR001, NFR001 y C001.",
    ),
    "dashed": (
        "Write ids as FR-001, NFR-001 and C-001.",
        "Ids carry a dash, like FR-001.",
        "Put a hyphen into every id, for example NFR-002.",
    ),
    "numbered": (
        "Write ids as plain numbers 1, 2, 3.",
        "Ids are just numbers.",
        "Number the items of each list from 1.",
    ),
    "count": (
        "Give at least {word} items in each list.",
        "Every list has at least {n} entries.",
        "Each of the three lists needs {word} or more items.",
        "List no fewer than {word} requirements per section.",
        "Provide {n} or more items for every list.",
        "Cada lista tiene al menos {n} elementos.",
    ),
    "single": (
        "Give one item per list.",
        "Write a single item in each list.",
        "Only the most important item of each list, please.",
    ),
    "title": (
        "The title has between 20 and 80 characters.",
        "Write a descriptive title of 20 to 80 characters.",
        "Use a full, specific title of at least four words.",
        "The title names the product and its users.",
        "Choose a clear title longer than ten characters.",
        "El título tiene entre 20 y 80 caracteres.",
    ),
    "short_title": (
        "The title is one word.",
        "Use a one-word title.",
        "Keep the title as short as possible.",
    ),
    "description": (
        "Write a long description of two sentences.",
        "The description has two or three full sentences.",
        "Describe the product in at least 150 characters.",
        "The description must be detailed, at least 120 characters long.",
        "Explain in the description what the product does and for whom, in two sentences.",
        "La descripción tiene al menos dos frases completas.",
    ),
    "short_description": (
        "Keep the description under ten words.",
        "The description is one short phrase.",
        "A very short description is enough.",
    ),
    "keys": (
        "Every item needs id, description and priority.",
        "Each item is a mapping with the keys id, description and priority.",
        "Never leave out the priority of an item.",
        "Give each requirement an id, a description and a priority of High, Medium or Low.",
        "All items carry exactly three keys, id, description and priority.",
        "Cada elemento lleva id, description y priority.",
    ),
    "no_priority": ("Leave out priorities.", "Items have no priority.", "Do not write priorities."),
    "plain": (
        "Write plain YAML without fences or Markdown.",
        "Answer in plain YAML, with no code fences and no text around it.",
        "Do not use Markdown or code blocks.",
        "Output only valid YAML lists, no bullets of prose, no backticks.",
        "Return raw YAML and nothing else.",
        "Solo YAML, sin Markdown ni texto alrededor.",
    ),
    "fenced": ("Put the answer into a yaml code fence.", "Wrap the YAML in a code block."),
    "markdown": ("Answer in Markdown with bullets.", "Use Markdown headings and bullet points."),
    "constraints": (
        "Always include constraints.",
        "Constraints are mandatory.",
        "Do not forget the constraints list.",
        "The constraints section must never be empty.",
        "Fill all five fields, constraints included.",
        "Incluye siempre las restricciones.",
    ),
    "no_constraints": ("Leave out the constraints.", "No constraints are needed."),
}
GOOD = ("ids", "count", "title", "description", "keys", "plain", "constraints")
OTHER = {
    "ids": ("dashed", "numbered"),
    "count": ("single",),
    "title": ("short_title",),
    "description": ("short_description",),
    "keys": ("no_priority",),
    "plain": ("fenced", "markdown"),
    "constraints": ("no_constraints",),
}
GENERIC = (
    "Be complete and precise.",
    "Follow the format exactly.",
    "Pay attention to every field description.",
    "Incomplete answers cause costly mistakes in a critical project, so leave nothing out.",
    "Use the words of the concept.",
    "Think about who uses the product before you write.",
    "The document will be read by developers and by the client.",
    "Keep each description specific and testable.",
    "Make non-functional requirements measurable.",
    "Write in the language of the concept.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Clauses of an instruction: their kinds, their sentences, and the count they ask for."""

    kinds: tuple[str, ...]
    sentences: tuple[str, ...]
    count: int = 0


def request(random: Random, opposites: float = 0.3) -> Request:
    """A random set of clauses: mostly the consistent good ones, sometimes their opposites."""
    size = random.choice((1, 2, 3, 4, 5, 6, 7, 5, 6, 7))
    kinds = random.sample(GOOD, size)
    if random.random() < opposites:
        kinds = [random.choice(OTHER[k]) if random.random() < 0.5 else k for k in kinds]
    n = random.choice((2, 3, 3, 4, 4, 5))
    sentences = [random.choice(CLAUSES[k]).format(n=n, word=NUMBERS[n]) for k in kinds]
    generic = random.sample(GENERIC, random.choice((0, 0, 1, 1, 2)))
    sentences += generic
    random.shuffle(sentences)
    return Request(kinds=tuple(kinds), sentences=tuple(sentences), count=n)


def obey(style: Style, request: Request, random: Random, kept: float = 0.94) -> Style:
    """The style after the clauses; each is kept with probability ``kept``."""
    for kind in request.kinds:
        if random.random() < kept:
            style = _apply(style, kind, request.count, random)
    return style


def _apply(style: Style, kind: str, count: int, random: Random) -> Style:
    low, high = (count, count + 1) if count else (2, 3)
    changes: dict[str, dict[str, object]] = {
        "ids": {"ids": "FR001"},
        "dashed": {"ids": "FR-001"},
        "numbered": {"ids": "1"},
        "count": {"counts": (random.randint(low, high), random.randint(low, high), low)},
        "single": {"counts": (1, 1, 1)},
        "title": {"title": "normal"},
        "short_title": {"title": "short"},
        "description": {"description": random.choice(("medium", "long", "long"))},
        "short_description": {"description": "short"},
        "keys": {"priority": True, "mappings": True},
        "no_priority": {"priority": False},
        "plain": {"layout": "yaml"},
        "fenced": {"layout": "fenced"},
        "markdown": {"layout": "markdown"},
        "constraints": {"constraints": True},
        "no_constraints": {"constraints": False},
    }
    return replace(style, **changes[kind])  # type: ignore[arg-type]
