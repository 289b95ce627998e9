"""The pocket model's corpus, tokenizer and training, in a configuration of seconds."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import pytest
import yaml

torch = pytest.importorskip("torch")
pytest.importorskip("dspy")
transformers = pytest.importorskip("transformers")

POCKET = Path(__file__).parents[2] / "benchmarks" / "pocket"


@pytest.fixture(autouse=True)
def _pocket_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(POCKET))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model after a few steps of ``--quick``."""
    sys.path.insert(0, str(POCKET))
    import train

    folder = tmp_path_factory.mktemp("pocket")
    threads = torch.get_num_threads()
    options = ["--work", str(folder / "work"), "--export", str(folder / "model"), "--quick"]
    seen = train.train(train.parse(options))
    torch.set_num_threads(threads)
    sys.path.remove(str(POCKET))
    assert seen["steps"] >= 2
    return folder / "model"


def test_plain_yaml_is_what_safe_dump_writes() -> None:
    from corpus import Corpus

    corpus = Corpus(3)
    answers = [chat.answer for _ in range(20) for chat in corpus.plain().chats]
    documents = [text for text in answers if text.startswith("title:")]
    assert len(documents) > 20
    for text in documents:
        document = yaml.safe_load(text)
        dumped = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=10**9)
        assert dumped == text


def test_the_same_seed_gives_the_same_corpus() -> None:
    from corpus import Corpus

    first, second = (next(Corpus(5).groups()) for _ in range(2))
    assert first == second


def test_clauses_are_obeyed() -> None:
    from styles import GOOD, Request, mixture, obey

    random = Random(1)
    wanted = Request(kinds=GOOD, sentences=(), count=4)
    style = obey(mixture(random), wanted, random, kept=1.0)
    assert (style.layout, style.ids, style.title) == ("yaml", "FR001", "normal")
    assert style.priority
    assert style.constraints
    assert min(style.counts) >= 4


def test_a_quick_model_loads_offline_and_generates(trained: Path) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(trained, local_files_only=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(trained, local_files_only=True)
    assert type(model).__name__ == "MistralForCausalLM"
    messages = [{"role": "user", "content": "Hello"}]
    batch = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    out = model.generate(input_ids=batch["input_ids"], max_new_tokens=4, do_sample=False)
    assert out.shape[1] > batch["input_ids"].shape[1]


def test_a_prompt_has_the_same_tokens_before_an_answer(trained: Path) -> None:
    from corpus import Corpus
    from tokenizer import render

    tokenizer = transformers.AutoTokenizer.from_pretrained(trained, local_files_only=True)
    corpus = Corpus(9)
    for make in (corpus.plain, corpus.styled, corpus.few_shot, corpus.dspy, corpus.proposal):
        chat = make().chats[0]
        turns = [{"role": who, "content": text} for who, text in chat.messages]
        prompt = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        assert prompt == render(chat.messages)
        turns.append({"role": "assistant", "content": chat.answer})
        whole = tokenizer.apply_chat_template(turns, tokenize=False)
        first, second, both = (
            tokenizer(text, add_special_tokens=False)["input_ids"]
            for text in (prompt, chat.answer + "</s>", whole)
        )
        assert first + second == both


def test_a_shared_prefix_changes_no_loss() -> None:
    from model import Group, Pocket, Shape

    torch.manual_seed(0)
    shape = Shape(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2)
    model = Pocket(shape)
    whole = tuple(range(30))
    learnt = whole[-10:]
    apart = model(Group(prefix=(), branches=(whole,), targets=(learnt,)))[0]
    rest = whole[15:]
    shared = model(Group(prefix=whole[:15], branches=(rest,), targets=(learnt,)))[0]
    torch.testing.assert_close(apart, shared, atol=1e-4, rtol=1e-4)


def test_what_is_ignored_counts_nothing() -> None:
    from model import IGNORED, Group, Pocket, Shape

    torch.manual_seed(0)
    model = Pocket(Shape(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2))
    whole = tuple(range(20))
    last, count = model(Group(prefix=(), branches=(whole,), targets=((IGNORED, IGNORED, 19),)))
    alone, one = model(Group(prefix=(), branches=(whole,), targets=((19,),)))
    assert (count, one) == (1, 1)
    torch.testing.assert_close(last, alone)


def test_slips_are_seen_and_the_text_is_learnt_around_them() -> None:
    from model import IGNORED, unlikely
    from train import slip

    answer = list(range(2_000))
    seen, learnt = slip(answer, Random(3))
    pairs = list(zip(seen, learnt, strict=True))
    assert [token for token, target in pairs if token == target] == answer
    slips = [i for i, (token, target) in enumerate(pairs) if token != target]
    firsts = [i for i in slips if i - 1 not in slips]
    assert 6 <= len(firsts) <= 60
    refused = 0
    for i in firsts:
        follows = next(j for j in range(i, len(pairs)) if seen[j] == learnt[j])
        assert learnt[i] == seen[follows]  # the text is to go on, whatever was said instead
        assert follows - i <= 50
        for said, target in pairs[i + 1 : follows]:
            assert target in (IGNORED, seen[follows], unlikely(said))
            refused += target == unlikely(said)
    assert refused
    assert slip(answer, Random(3), share=0.0) == (answer, answer)


def test_what_is_unlikely_is_said_less_after_a_step() -> None:
    from model import IGNORED, Group, Pocket, Shape, unlikely

    torch.manual_seed(0)
    model = Pocket(Shape(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2))
    whole = tuple(range(20))
    refusing = Group(prefix=(), branches=(whole,), targets=((IGNORED, unlikely(19)),))
    saying = Group(prefix=(), branches=(whole,), targets=((19,),))
    loss, count = model(refusing)
    before = model(saying)[0]
    assert count == 1
    torch.testing.assert_close(loss, -torch.log(1 - torch.exp(-before)), atol=1e-5, rtol=1e-4)
    loss.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter -= 0.1 * parameter.grad
    assert model(saying)[0] > before


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ([1, 2, 3, 4, 5, 6, 7, 8, 9], None),
        ([9, 1, 0, 0, 0, 0, 0, 2], None),  # a large number
        ([9, 1, *[7] * 8, 2], (2, 1)),
        ([9, 5, 6, 5, 6, 5, 6, 5, 6, 1], (1, 2)),
        ([9, 5, 6, 5, 6, 5, 6, 1], None),
    ],
)
def test_a_loop_is_what_comes_again_and_again(
    answer: list[int], found: tuple[int, int] | None
) -> None:
    from loops import loop

    assert loop(answer) == found


def test_a_loop_may_end() -> None:
    from loops import endless

    assert endless([1, 2, *[5, 6] * 10])
    assert endless([1, 2, *[5, 6] * 10, 5])
    assert not endless([1, 2, *[5, 6] * 10, 7])
    assert not endless([1, 2, 3])


def test_a_lesson_shows_some_rounds_and_makes_more_of_them_unlikely() -> None:
    from loops import lesson
    from model import IGNORED, unlikely

    group = lesson([1, 2], [3, *[5, 6] * 30])
    assert group is not None
    assert group.prefix == (1, 2)
    assert group.branches == ((3, *[5, 6] * 6),)
    more = [unlikely(5), unlikely(6)] * 4
    assert group.targets == ((IGNORED, IGNORED, IGNORED, unlikely(5), IGNORED, *more),)
    assert lesson([1, 2], [3, 4, 5]) is None


def test_an_export_is_loaded_as_it_was(trained: Path, tmp_path: Path) -> None:
    from model import Pocket, export, load
    from safetensors.torch import load_file
    from train import QUICK

    model = Pocket(QUICK)
    load(model, trained, sharpness=1.3)
    export(model, tmp_path, {}, sharpness=1.3)
    before, after = (load_file(folder / "model.safetensors") for folder in (trained, tmp_path))
    assert before.keys() == after.keys()
    for name, weight in before.items():
        assert torch.allclose(weight.float(), after[name].float(), rtol=0.01), name


def test_some_descriptions_open_with_the_concept() -> None:
    from document import plain_answer
    from prose import Written, read, tell
    from styles import complete

    random = Random(2)
    written: list[Written] = read()[:100]
    told = [(w, tell(w, complete(random), random)) for w in written]
    opened = [(w, d) for w, d in told if d.description.startswith(w.concept.rstrip("."))]
    assert 20 < len(opened) < 60
    for one, document in opened:
        assert 100 <= len(document.description) <= 600
        answer = plain_answer(document, complete(random), one.lang, random)
        assert yaml.safe_load(answer.strip("`").removeprefix("yaml"))["description"]
