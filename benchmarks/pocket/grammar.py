"""Concepts and the facts behind them: a random idea, the sentence that states it, its phrases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import english
import spanish
from words import Words, pseudo
from words import english as english_words
from words import spanish as spanish_words

if TYPE_CHECKING:
    from random import Random


@dataclass(frozen=True, slots=True, kw_only=True)
class Idea:
    """One product idea: its sentence and the phrases that sentence and its document share."""

    lang: str
    concept: str
    slots: dict[str, str]
    stated: frozenset[str]


class Grammar:
    """Draws ideas and fills phrases; the word lists are read once."""

    def __init__(self) -> None:
        self.words: dict[str, Words] = {"en": english_words(), "es": spanish_words()}
        self.tables: dict[str, Any] = {"en": english, "es": spanish}

    def idea(self, random: Random) -> Idea:
        """A random idea, in Spanish one time in four."""
        lang = "es" if random.random() < 0.25 else "en"
        table = self.tables[lang]
        shape = _longer(random.choice(table.CONCEPTS), table.TAILS, random)
        slots = self._english(random) if lang == "en" else self._spanish(random)
        kept = {key: value for key, value in slots.items() if key in mentioned(shape)}
        concept = fill(shape, slots)
        if random.random() < 0.15:
            concept = concept.rstrip(".")
        options = table.DEFAULTS
        defaults = {key: random.choice(values) for key, values in options.items()}
        closed = _closed(kept, slots, defaults, random)
        return Idea(lang=lang, concept=concept, slots=closed, stated=frozenset(kept))

    def word(self, random: Random, lang: str) -> str:
        """A word of any rarity, one in twelve in no list."""
        words, draw = self.words[lang], random.random()
        if draw < 0.66:
            return random.choice(words.nouns)
        return random.choice(words.rare) if draw < 0.92 else pseudo(random)

    def _noun(self, random: Random, lang: str) -> str:
        draw = random.random()
        if draw < 0.2:
            return str(random.choice(self.tables[lang].NOUNS))
        if draw < 0.3:
            return f"{self.word(random, lang)}-{self.word(random, lang)}"
        if draw < 0.33:  # an abbreviation
            return "".join(random.choices("ABCDEFGHIKLMNOPQRSTVX", k=random.randint(2, 4)))
        return self.word(random, lang)

    def _pick(self, random: Random, table: list[str], own: tuple[str, ...], share: float) -> str:
        return random.choice(table) if random.random() < share else random.choice(own)

    def _english(self, random: Random) -> dict[str, str]:
        words = self.words["en"]

        def thing() -> str:
            draw = random.random()
            if draw < 0.3:
                return random.choice(english.OBJECTS)
            first, second = self._noun(random, "en"), plural(self._noun(random, "en"))
            adjective = random.choice(words.adjectives)
            if random.random() < 0.1:
                adjective = f"{self.word(random, 'en')}-{adjective}"
            shapes = (
                f"{first} {second}",
                f"{adjective} {second}",
                second,
                f"{second} of each {first}",
                f"{adjective} {first} {second}",
                f"the {first} of {second}",
                f"{second} from {plural(first)}",
                f"{random.choice(english.OBJECTS)} for {second}",
                f"{random.choice(english.OBJECTS)} after each {first}",
                f"{random.choice(english.OBJECTS)} and {second}",
                f"a {first} of a {self._noun(random, 'en')}",
                f"the {first} {self._noun(random, 'en')} they need",
                f"{second} with {adjective} {plural(first)}",
                f"a {adjective} {first}",
            )
            return random.choice(shapes)

        def person() -> str:
            draw = random.random()
            if draw < 0.45:
                return random.choice(english.ACTORS)
            if draw < 0.75:
                return plural(random.choice(words.agents))
            first = random.choice((self._noun(random, "en"), random.choice(words.adjectives)))
            return f"{first} {random.choice(english.ACTORS)}"

        def place() -> str:
            if random.random() < 0.5:
                return random.choice(english.ORGS)
            return f"{self._noun(random, 'en')} {random.choice(english.ORGS).split()[-1]}"

        def product() -> str:
            base = random.choice(english.PRODUCTS)
            return base if random.random() < 0.5 else f"{self._noun(random, 'en')} {base}"

        things = [thing() for _ in range(3)]
        verbs = [self._pick(random, english.VERBS, words.verbs, 0.6) for _ in range(3)]
        slots = self._common(random, "en", things, verbs)
        return slots | {
            "actor": person(),
            "actor2": person(),
            "org": place(),
            "product": product(),
            "adj": random.choice(words.adjectives),
            "gloss": random.choice(words.glosses),
        }

    def _spanish(self, random: Random) -> dict[str, str]:
        words = self.words["es"]

        def thing() -> str:
            if random.random() < 0.4:
                return random.choice(spanish.OBJECTS)
            noun = plural_es(random.choice(words.nouns))
            article = "las" if noun.endswith(("as", "ones", "dades")) else "los"
            tail = random.choice(
                ("", f" de {self._noun(random, 'es')}", " de cada día", " en papel")
            )
            return f"{article} {noun}{tail}"

        def person() -> str:
            if random.random() < 0.6:
                return random.choice(spanish.ACTORS)
            return f"los {plural_es(random.choice(words.agents))}"

        product = random.choice(spanish.PRODUCTS)
        if random.random() < 0.5:
            product = f"{product} de {self._noun(random, 'es')}"
        things = [thing() for _ in range(3)]
        verbs = [self._pick(random, spanish.VERBS, words.verbs, 0.6) for _ in range(3)]
        return self._common(random, "es", things, verbs) | {
            "actor": person(),
            "actor2": person(),
            "org": random.choice(spanish.ORGS),
            "product": product,
        }

    def _common(
        self, random: Random, lang: str, things: list[str], verbs: list[str]
    ) -> dict[str, str]:
        table = self.tables[lang]
        extras = random.sample(table.EXTRAS, 2)
        slots = {f"o{i + 1}": thing for i, thing in enumerate(things)}
        slots |= {f"a{i + 1}": f"{verbs[i]} {things[i]}" for i in range(3)}
        return slots | {
            "extra": extras[0],
            "extra2": extras[1],
            "problem": random.choice(table.PROBLEMS),
            "noun": self._noun(random, lang),
            "noun2": self._noun(random, lang),
            "name": pseudo(random).capitalize(),
        }


def _longer(shape: str, tails: list[str], random: Random) -> str:
    """The shape of a concept, every second time with a tail that tells something new."""
    said = mentioned(shape)
    fresh = [tail for tail in tails if not (mentioned(tail) - {"actor2"}) & _names(said)]
    if not fresh or random.random() > 0.5:
        return shape
    return shape.rstrip(".") + random.choice(fresh)


def _names(slots: set[str]) -> set[str]:
    """The slots with those that repeat their words: an action names its object."""
    pairs = {f"{a}{i}" for a in "ao" for i in (1, 2, 3) if {f"a{i}", f"o{i}"} & slots}
    return slots | pairs


def fill(shape: str, slots: dict[str, str]) -> str:
    """Put the slots into a phrase; a capitalised slot name asks for a capital letter."""
    capitals = {key.capitalize(): _capital(value) for key, value in slots.items()}
    return shape.format(**slots, **capitals)


def plural(noun: str) -> str:
    """A plain English plural."""
    if noun.endswith(("s", "x", "ch", "sh", "z")):
        return noun + "es"
    return noun[:-1] + "ies" if noun.endswith("y") and noun[-2] not in "aeiou" else noun + "s"


def plural_es(noun: str) -> str:
    """A plain Spanish plural."""
    if noun.endswith(("ión", "ón")):
        return noun[:-2] + "ones"
    return noun + ("s" if noun[-1] in "aeoíá" else "es")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def mentioned(shape: str) -> set[str]:
    """The slot names of a phrase, without capitals."""
    return {part.split("}")[0].lower() for part in shape.split("{")[1:]}


def usable(shapes: list[str], idea: Idea, needed: frozenset[str]) -> list[str]:
    """Shapes that say no phrase twice and name the ``needed`` slots only if the concept does."""
    found = []
    for shape in shapes:
        names = mentioned(shape)
        values = [idea.slots[name] for name in names if name in idea.slots]
        if not (names & needed) - idea.stated and len(set(values)) == len(values):
            found.append(shape)
    return found


def _closed(
    kept: dict[str, str], slots: dict[str, str], defaults: dict[str, str], random: Random
) -> dict[str, str]:
    """Slots for the document: those the concept left out borrow from those it mentions.

    So a document speaks about its concept and hardly invents anything else.
    """
    result = dict(kept)
    for i in (1, 2, 3):
        if f"a{i}" in kept:
            result[f"o{i}"] = slots[f"o{i}"]
    things = [result[key] for key in ("o1", "o2", "o3") if key in result]
    things = things or [result.get("extra") or result.get("gloss") or slots["o1"]]
    for key in ("o1", "o2", "o3"):
        result.setdefault(key, random.choice(things))
    actions = [result[key] for key in ("a1", "a2", "a3") if key in result]
    actions = actions or [f"{defaults['verb']} {thing}" for thing in things]
    for key in ("a1", "a2", "a3"):
        result.setdefault(key, random.choice(actions))
    result.setdefault("actor", defaults["actor"])
    result.setdefault("actor2", result["actor"])
    result.setdefault("product", defaults["product"])
    result.setdefault("noun", result["o1"].split()[-1])
    return {key: result.get(key, value) for key, value in slots.items()}
