"""The training corpus: groups of chats that share a prompt and differ in concept and answer.

Print a few samples: ``python benchmarks/pocket/corpus.py --seed 1 --groups 3`` with
``PYTHONPATH=harness:plugins``.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING

import dspy_form
import small_tasks
from document import Document, compose, fields, plain_answer
from grammar import Grammar, Idea
from prose import Written, read, tell, vary
from styles import Request, Style, complete, mixture, obey, request

from baft_ba import role

if TYPE_CHECKING:
    from collections.abc import Iterator

TASKS = (
    role.TASK,
    role.TASK,
    role.TASK,
    "Write the business requirements for the concept.",
    "You are an experienced business analyst. Turn the concept into a requirements document.",
    "Given a product concept, produce a complete requirements document for the development team.",
    "As a senior business analyst, write clear and testable requirements for the given concept.",
    "Read the concept and write its title, description, requirements and constraints.",
    "Generate the business requirements of the product described by the concept.",
    "Eres analista de negocio. Escribe los requisitos para el concepto.",
)
CARELESS = 0.6  # share of answers that ignore the examples, in DSPy's form the clauses too
VARIED = 0.75  # share of written documents in which nouns are replaced
FOLLOW = 0.92  # share of the others that take over the style of the examples in their prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """Messages up to the question, and the answer to be learnt."""

    messages: tuple[tuple[str, str], ...]
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatGroup:
    """Chats with a common beginning; ``kind`` names what they teach."""

    kind: str
    chats: tuple[Chat, ...]


class Corpus:
    """An endless stream of chat groups, the same for the same seed."""

    def __init__(self, seed: int, written_share: float = 0.0) -> None:
        self.random = Random(seed)
        self.grammar = Grammar()
        self.written = read()
        self.written_share = written_share
        words = self.grammar.words
        self.nouns = {lang: frozenset(words[lang].nouns) - {*words[lang].verbs} for lang in words}

    def groups(self, copy_share: float = 0.08) -> Iterator[ChatGroup]:
        """Groups in random order; ``copy_share`` of them are short copying tasks."""
        kinds = {
            self.plain: 0.27,
            self.styled: 0.19,
            self.few_shot: 0.08,
            self.dspy: 0.42,
            self.proposal: 0.04,
        }
        while True:
            if self.random.random() < copy_share:
                yield self._small("copy", small_tasks.copying, 8)
            else:
                yield self.random.choices(list(kinds), list(kinds.values()))[0]()

    def plain(self) -> ChatGroup:
        """The exact prompt of the role, answered in the mixture of styles."""
        chats = []
        for _ in range(5):
            idea = self._idea()
            prompt = role.render(idea.concept)
            chats.append(self._chat([("user", prompt)], idea, mixture(self.random)))
        return ChatGroup(kind="plain", chats=tuple(chats))

    def styled(self) -> ChatGroup:
        """The role's prompt with clauses about style somewhere in it."""
        wanted = request(self.random)
        place = self.random.choice(("before", "task", "task", "end", "system", "concept"))
        head = self.random.choice(TASKS)
        chats = []
        for _ in range(4):
            idea = self._idea()
            style = obey(mixture(self.random), wanted, self.random)
            messages = _place(wanted, place, head, idea.concept)
            chats.append(self._chat(messages, idea, style))
        return ChatGroup(kind="styled", chats=tuple(chats))

    def few_shot(self) -> ChatGroup:
        """The role's prompt after one or two answered ones."""
        shown = self._shown_style()
        messages: list[tuple[str, str]] = []
        for _ in range(self.random.choice((1, 1, 1, 2))):
            idea = self._idea()
            answer = self._chat([], idea, self._like(shown)).answer
            messages += [("user", role.render(idea.concept)), ("assistant", answer)]
        chats = []
        for _ in range(4):
            idea = self._idea()
            style = mixture(self.random)
            if self.random.random() > CARELESS:
                style = self._follow(shown, style)
            chats.append(self._chat([*messages, ("user", role.render(idea.concept))], idea, style))
        return ChatGroup(kind="few-shot", chats=tuple(chats))

    def dspy(self) -> ChatGroup:
        """DSPy's chat format with none to three examples and an instruction of any quality."""
        random = self.random
        clauses = random.random() < 0.65
        wanted = request(random) if clauses else Request(kinds=(), sentences=())
        instruction = _instruction(random.choice(TASKS), wanted, random)
        shown = self._shown_style()
        reasoning = random.random() < 0.08
        demos = []
        for _ in range(random.choices((0, 1, 2, 3), (0.58, 0.33, 0.07, 0.02))[0]):
            idea = self._idea()
            demos.append(self._demo(idea, self._like(shown), reasoning))
        chats = []
        for _ in range(5 if not demos else 4):
            idea = self._idea()
            style = mixture(random)
            if random.random() > CARELESS:
                style = obey(style, wanted, random)
                style = self._follow(shown, style) if demos else style
            messages = dspy_form.messages(instruction, demos, idea.concept, reasoning)
            outputs = self._demo(idea, style, reasoning)
            chats.append(Chat(messages=messages, answer=dspy_form.answer(outputs, reasoning)))
        return ChatGroup(kind="dspy-demo" if demos else "dspy", chats=tuple(chats))

    def proposal(self) -> ChatGroup:
        """The questions DSPy's optimizer asks about a program, instructions among them."""
        idea = self._idea()
        demo = self._demo(idea, complete(self.random), False)
        chats = []
        for _ in range(3):
            wanted = request(self.random, opposites=0)
            instruction = _instruction(self.random.choice(TASKS), wanted, self.random)
            messages, answer = dspy_form.proposal(instruction, demo, self.random)
            chats.append(Chat(messages=messages, answer=answer))
        return ChatGroup(kind="proposal", chats=tuple(chats))

    def _idea(self) -> Idea | Written:
        """What a chat is about: invented by the grammar, or a document that somebody wrote."""
        if self.written and self.random.random() < self.written_share:
            return self._varied(self.random.choice(self.written))
        return self.grammar.idea(self.random)

    def _varied(self, written: Written) -> Written:
        """A written document about other things, three times in four."""
        if self.random.random() > VARIED:
            return written

        def other() -> str:
            return self.grammar.word(self.random, written.lang)

        return vary(written, self.nouns[written.lang], other, self.random, share=0.6)

    def _document(self, idea: Idea | Written, style: Style) -> Document:
        if isinstance(idea, Written):
            return tell(idea, style, self.random)
        return compose(self.grammar, idea, style, self.random)

    def _small(self, kind: str, make: object, count: int) -> ChatGroup:
        pairs = make(self.grammar, self.random, count)  # type: ignore[operator]
        chats = (Chat(messages=(("user", q),), answer=a) for q, a in pairs)
        return ChatGroup(kind=kind, chats=tuple(chats))

    def _chat(self, messages: list[tuple[str, str]], idea: Idea | Written, style: Style) -> Chat:
        document = self._document(idea, style)
        answer = plain_answer(document, style, idea.lang, self.random)
        return Chat(messages=tuple(messages), answer=answer)

    def _demo(self, idea: Idea | Written, style: Style, reasoning: bool) -> dict[str, str]:
        document = self._document(idea, style)
        values = {"concept": idea.concept} | fields(document, style)
        if reasoning:
            about = idea.title if isinstance(idea, Written) else idea.slots["o1"]
            values["reasoning"] = f"The concept is about {about}."
        return values

    def _shown_style(self) -> Style:
        """The style of examples: complete two times in three."""
        return complete(self.random) if self.random.random() < 0.67 else mixture(self.random)

    def _like(self, style: Style) -> Style:
        """The same style with slightly other numbers of items."""
        counts = tuple(
            max(1, c + self.random.choice((-1, 0, 0, 1))) if c > 2 else c for c in style.counts
        )
        return replace(style, counts=counts)

    def _follow(self, shown: Style, otherwise: Style) -> Style:
        return self._like(shown) if self.random.random() < FOLLOW else otherwise


def _instruction(head: str, wanted: Request, random: Random) -> str:
    if not wanted.sentences:
        return head
    if random.random() < 0.3:
        return head + "\n" + "\n".join(f"- {sentence}" for sentence in wanted.sentences)
    parts = [head, *wanted.sentences]
    if random.random() < 0.15:
        parts = [*wanted.sentences, head]
    return " ".join(parts)


def _place(wanted: Request, place: str, head: str, concept: str) -> list[tuple[str, str]]:
    """The role's prompt with clauses before it, after its task, at its end, or as a system turn."""
    text = " ".join(wanted.sentences)
    keys = role.INSTRUCTION.removeprefix(role.TASK)
    question = f"\n\nConcept: {concept}"
    if place == "before":
        return [("user", f"{text}\n\n{head}{keys}{question}")]
    if place == "task":
        return [("user", f"{head} {text}{keys}{question}")]
    if place == "end":
        return [("user", f"{head}{keys}\n\n{text}{question}")]
    if place == "system":
        return [("system", text), ("user", f"{head}{keys}{question}")]
    return [("user", f"{head}{keys}{question}\n\n{text}")]


def main() -> None:
    """Print some groups, for reading."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--groups", type=int, default=3)
    options = parser.parse_args()
    for group, _ in zip(Corpus(options.seed).groups(), range(options.groups), strict=False):
        for chat in group.chats[:2]:
            print(f"=== {group.kind}")
            for who, text in chat.messages:
                print(f"--- {who}\n{text}")
            print(f"--- answer\n{chat.answer}")


if __name__ == "__main__":
    main()
