"""From an idea and a style to the text of an answer, as YAML, Markdown or DSPy fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from grammar import fill, mentioned, usable
from styles import LISTS, PREFIXES, SHORT_TITLES

if TYPE_CHECKING:
    from random import Random

    from grammar import Grammar, Idea
    from styles import Style

STATED = frozenset({"gloss", "problem", "org"})  # never invented by a document
PROSE = {
    "en": ("Here are the requirements.", "Sure, this is the document.", "Requirements below."),
    "es": ("Estos son los requisitos.", "Claro, este es el documento."),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One requirement; an empty priority is left out."""

    id: str
    text: str
    priority: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A title, a description and three lists of items; an empty list is left out."""

    title: str
    description: str
    lists: dict[str, tuple[Item, ...]]


def compose(grammar: Grammar, idea: Idea, style: Style, random: Random) -> Document:
    """Write about an idea in a style, stating every phrase of its concept if there is room."""
    table = grammar.tables[idea.lang]
    wanted = set(idea.stated) & mentioned(" ".join(table.FUNCTIONAL))
    lists: dict[str, tuple[Item, ...]] = {}
    tables = (table.FUNCTIONAL, table.QUALITY, table.LIMITS)
    for name, shapes, count in zip(LISTS, tables, style.counts, strict=True):
        if name == "constraints" and not style.constraints:
            continue
        chosen = _cover(usable(shapes, idea, STATED), count, wanted, random)
        if name == "functional_requirements":
            wanted -= mentioned(" ".join(chosen))
        texts = [fill(shape, idea.slots | _numbers(random)) for shape in chosen]
        lists[name] = tuple(
            Item(id=item_id(style, name, i), text=text, priority=item_priority(style, i, random))
            for i, text in enumerate(texts, start=1)
        )
    description = _description(table, idea, style, random)
    return Document(title=_title(table, idea, style, random), description=description, lists=lists)


def _cover(shapes: list[str], count: int, wanted: set[str], random: Random) -> list[str]:
    """``count`` different phrases, those that name wanted slots first."""
    pool = random.sample(shapes, len(shapes))
    missing, chosen = set(wanted), []
    while len(chosen) < count and pool:
        best = max(pool[:8], key=lambda shape: len(mentioned(shape) & missing))
        pool.remove(best)
        missing -= mentioned(best)
        chosen.append(best)
    return chosen


def _numbers(random: Random) -> dict[str, str]:
    draws = {
        "n": random.randint(2, 10),
        "m": random.choice((3, 5, 6, 10, 12, 15, 20, 30, 45)),
        "h": random.choice((4, 6, 8, 12, 24, 48)),
        "k": random.choice((20, 30, 50, 80, 100, 150, 200, 300, 500, 1000, 2000, 5000)),
        "p": random.choice((90, 95, 99)),
    }
    return {key: str(value) for key, value in draws.items()} | {
        "q": random.choice(("99", "99.5", "99.9"))
    }


def item_priority(style: Style, i: int, random: Random) -> str:
    """A priority, higher for the first item; empty where the style has none."""
    if not style.priority:
        return ""
    weights = (6, 2, 0) if i == 1 else (3, 4, 2)
    return random.choices(("High", "Medium", "Low"), weights)[0]


def item_id(style: Style, name: str, i: int) -> str:
    """The id of a list's item, counted from 1."""
    prefix = PREFIXES[name]
    forms = {"FR001": f"{prefix}{i:03}", "FR1": f"{prefix}{i}", "FR-001": f"{prefix}-{i:03}"}
    forms |= {"REQ001": f"REQ{i:03}", "1": str(i)}
    return forms[style.ids]


def _title(table: object, idea: Idea, style: Style, random: Random) -> str:
    if style.title == "short":
        return random.choice(SHORT_TITLES[idea.lang])
    shapes: list[str] = table.TITLES  # type: ignore[attr-defined]
    fitting_shapes = usable(shapes, idea, STATED | {"noun", "product"}) or shapes
    titles = [fill(random.choice(fitting_shapes), idea.slots) for _ in range(12)]
    low, high = (70, 150) if style.title == "long" else (20, 80)
    fitting = [t for t in titles if low <= len(t) <= high]
    title = max(titles, key=len) if style.title == "long" else min(titles, key=len)
    title = fitting[0] if fitting else title[:95].rsplit(" ", 1)[0] if len(title) > 95 else title
    return _headline(title) if random.random() < 0.4 and idea.lang == "en" else title


def _headline(title: str) -> str:
    return " ".join(
        w if w in {"a", "to", "for", "and", "of", "the", "with"} else w[:1].upper() + w[1:]
        for w in title.split()
    )


def _description(table: object, idea: Idea, style: Style, random: Random) -> str:
    intro: list[str] = table.INTRO  # type: ignore[attr-defined]
    more: list[str] = table.MORE  # type: ignore[attr-defined]
    if style.description == "short":
        shapes: list[str] = table.SHORT_DESCRIPTIONS  # type: ignore[attr-defined]
        texts = [fill(random.choice(shapes), idea.slots) for _ in range(8)]
        return min(texts, key=len)[:95]
    further = usable(more, idea, STATED) or more
    opening = fill(random.choice(usable(intro, idea, STATED) or intro), idea.slots)
    if random.random() < 0.4:
        opening = idea.concept.rstrip(".")
    low, high = (240, 480) if style.description == "long" else (110, 260)
    sentences = [opening]
    for shape in _cover(further, 4, set(idea.stated), random):
        if sum(map(len, sentences)) >= low:
            break
        sentences.append(fill(shape, idea.slots))
    text = ". ".join(sentences) + "."
    if len(text) > high and len(sentences) > 1:
        text = ". ".join(sentences[:-1]) + "."
    return text if len(text) >= 105 else f"{text[:-1]}. {fill(random.choice(further), idea.slots)}."


def yaml_list(items: tuple[Item, ...], mappings: bool = True) -> str:
    """A block list exactly as ``yaml.safe_dump`` writes it; the texts need no quotes."""
    if not mappings:
        return "".join(f"- {item.text}\n" for item in items)
    lines = []
    for item in items:
        lines += [f"- id: {item.id}", f"  description: {item.text}"]
        lines += [f"  priority: {item.priority}"] if item.priority else []
    return "".join(f"{line}\n" for line in lines)


def markdown_list(items: tuple[Item, ...]) -> str:
    """Bullets that are no YAML mappings."""
    return "".join(
        f"- **{item.id}** {item.text}" + (f" ({item.priority})" if item.priority else "") + "\n"
        for item in items
    )


def plain_answer(document: Document, style: Style, lang: str, random: Random) -> str:
    """The answer to the plain prompt."""
    if style.layout == "markdown":
        body = f"# {document.title}\n\n{document.description}\n"
        for name, items in document.lists.items():
            heading = name.replace("_", " ").capitalize()
            body += f"\n## {heading}\n\n{markdown_list(items)}"
        return body
    body = f"title: {document.title}\ndescription: {document.description}\n"
    for name, items in document.lists.items():
        body += f"{name}:\n{yaml_list(items, style.mappings)}"
    if style.layout == "yaml":
        return body
    fenced = f"```yaml\n{body}```\n"
    return fenced if style.layout == "fenced" else f"{random.choice(PROSE[lang])}\n\n{fenced}"


def fields(document: Document, style: Style) -> dict[str, str]:
    """The values of the five DSPy output fields; a missing list reads ``N/A``."""
    values = {"title": document.title, "description": document.description}
    for name in LISTS:
        items = document.lists.get(name, ())
        if not items:
            values[name] = "N/A"
        elif style.layout == "markdown":
            values[name] = markdown_list(items).strip()
        elif style.layout == "yaml":
            values[name] = yaml_list(items, style.mappings).strip()
        else:
            values[name] = f"```yaml\n{yaml_list(items, style.mappings)}```"
    return values
