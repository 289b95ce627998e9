"""Small tasks that teach copying: repeat a text, list its words, look a value up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from words import pseudo

if TYPE_CHECKING:
    from random import Random

    from grammar import Grammar


def copying(grammar: Grammar, random: Random, count: int) -> list[tuple[str, str]]:
    """``count`` questions of one kind with their answers."""
    make = random.choice((_repeat, _repeat, _twice, _bullets, _lookup, _concept))
    return [make(grammar, random) for _ in range(count)]


def _text(grammar: Grammar, random: Random, low: int = 5, high: int = 25) -> list[str]:
    """Random words of both languages, pseudo-words and numbers among them."""
    words = grammar.words[random.choice(("en", "en", "es"))]
    pools = (words.nouns, words.rare, words.rare, words.adjectives, words.verbs)
    drawn = []
    for _ in range(random.randint(low, high)):
        draw = random.random()
        if draw < 0.1:
            drawn.append(pseudo(random))
        elif draw < 0.14:
            drawn.append(str(random.randint(1, 9999)))
        else:
            drawn.append(random.choice(random.choice(pools)))
    return [w.capitalize() if random.random() < 0.07 else w for w in drawn]


def _repeat(grammar: Grammar, random: Random) -> tuple[str, str]:
    text = " ".join(_text(grammar, random, 2, 20))
    return f"Repeat the text: {text}", text


def _twice(grammar: Grammar, random: Random) -> tuple[str, str]:
    text = " ".join(_text(grammar, random, 10, 40))
    return f"Repeat the text twice: {text}", f"{text}\n{text}"


def _bullets(grammar: Grammar, random: Random) -> tuple[str, str]:
    words = _text(grammar, random, 3, 12)
    return f"List the words: {' '.join(words)}", "".join(f"- {word}\n" for word in words)


def _lookup(grammar: Grammar, random: Random) -> tuple[str, str]:
    keys, values = _text(grammar, random, 6, 6), _text(grammar, random, 12, 12)
    pairs = {key: " ".join(values[2 * i : 2 * i + 2]) for i, key in enumerate(keys)}
    table = "\n".join(f"{key} = {value}" for key, value in pairs.items())
    asked = random.sample(list(pairs), min(4, len(pairs)))
    answer = "\n".join(f"{key} = {pairs[key]}" for key in asked)
    return f"Look up {', '.join(asked)} in this table.\n{table}", answer


def _concept(grammar: Grammar, random: Random) -> tuple[str, str]:
    idea = grammar.idea(random)
    phrases = [value for key, value in idea.slots.items() if key in idea.stated]
    random.shuffle(phrases)
    kept = [phrase for phrase in phrases if phrase in idea.concept][:5]
    return f"Quote phrases of the concept.\n\nConcept: {idea.concept}", "\n".join(kept)
