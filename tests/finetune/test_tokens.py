"""The tokens of a dataset against a slow reading of the original, whole or made again, in any format."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alpaca_cli.data.example import Example
from alpaca_cli.errors import DataError, IntegrityError, UsageError
from alpaca_cli.finetune.tokens.token_set import TokenSet, make_tokens, open_tokens, split
from alpaca_cli.finetune.tokens.tokenizer import Tokenizer, open_tokenizer
from alpaca_cli.format.convert import convert
from alpaca_cli.format.template import Template, alpaca_template
from alpaca_cli.recipe.finetune import DataSettings
from finetune.tokenizer_folders import byte_level, generic

ROOT = Path(__file__).resolve().parent.parent.parent
# No words before the first field, the input first, and an end that a tokenizer joins with what follows.
BARE = Template(with_input="{input}\n{instruction} =>", without_input="{instruction} =>")
TEXT = st.text(alphabet=st.sampled_from("abc é{}</s>\n日"), max_size=12).filter(lambda text: bool(text.strip()))
ROWS = st.lists(st.tuples(TEXT, st.just("") | TEXT, TEXT), min_size=1, max_size=12)
EXAMPLES = [Example("Name three birds.", "", "Hen, owl, robin."), Example("Add.", "1 2", "3"), Example("Hi", "", "Ho")]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    return open_tokenizer(generic(folder / "model"), "none", cache=folder / "cache")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALPACA_CACHE", str(tmp_path / "cache"))


def written(path: Path, examples: list[Example]) -> Path:
    path.write_text("".join(f"{json.dumps(dataclasses.asdict(example))}\n" for example in examples))
    return path


def equal(one: TokenSet, other: TokenSet, *, but: tuple[str, ...] = ()) -> bool:
    facts = [{**dataclasses.asdict(each.facts), **dict.fromkeys(but)} for each in (one, other)]
    arrays = [(each.ids, each.starts, each.prompt_lengths, each.preamble_of, *each.preambles) for each in (one, other)]
    return facts[0] == facts[1] and all(map(np.array_equal, *arrays)) and len(arrays[0]) == len(arrays[1])


def as_the_original(
    examples: list[Example], template: Template, tokenizer: Tokenizer, limit: int, overlong: str
) -> tuple[list[tuple[list[int], int]], dict[str, int]]:
    """Ids and unsupervised tokens of each example that is left, one by one, with what was counted on the way."""
    kept = []
    counts = dict.fromkeys(("num_truncated", "num_dropped_overlong", "num_unsupervised", "num_shifted"), 0)
    for example in examples:
        (prompt,) = tokenizer.encode([template.render(example)])
        (whole,) = tokenizer.encode([template.render(example) + example.output + tokenizer.eos])
        if len(whole) > limit and overlong == "drop":
            counts["num_dropped_overlong"] += 1
        elif len(prompt) >= len(whole[:limit]):
            counts["num_unsupervised"] += 1
        else:
            counts["num_truncated"] += len(whole) > limit
            counts["num_shifted"] += whole[: len(prompt)] != prompt
            kept.append((whole[:limit], len(prompt)))
    return kept, counts


@pytest.mark.parametrize("template", [alpaca_template(), BARE], ids=["alpaca", "bare"])
@pytest.mark.parametrize("overlong", ["truncate", "drop"])
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, slack=st.integers(-6, 12))
def test_tokens_are_those_of_the_original(
    template: Template, overlong: Any, rows: Any, slack: int, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    examples = [Example(*row) for row in rows]
    lengths = [len(ids) for ids in tokenizer.encode([template.render(each) for each in examples])]
    limit = max(min(lengths) + slack, 2)
    expected, counts = as_the_original(examples, template, tokenizer, limit, overlong)
    data = written(tmp_path / "data.jsonl", examples)
    wanted = DataSettings(max_tokens=limit, overlong=overlong)
    if not expected:
        with pytest.raises(DataError, match="no example is left to train on"):
            make_tokens(data, template, tokenizer, wanted)
        return
    found = make_tokens(data, template, tokenizer, wanted)

    assert len(found) == len(expected)
    for index, (ids, prompt_length) in enumerate(expected):
        assert found.ids[found.starts[index] : found.starts[index + 1]].tolist() == ids
        assert found.prompt_lengths[index] == prompt_length
    facts = dataclasses.asdict(found.facts)
    assert {name: facts[name] for name in counts} == counts
    assert facts["num_rows"] == len(examples)
    assert facts["num_examples"] == len(expected)
    assert facts["real_tokens"] == len(found.ids) == found.starts[-1] == sum(len(ids) for ids, _ in expected)
    assert facts["supervised_tokens"] == sum(len(ids) - length for ids, length in expected)
    assert facts["longest"] == max(len(ids) for ids, _ in expected)
    assert [array.dtype for array in (found.ids, found.starts, found.prompt_lengths, found.preamble_of)] == [
        np.int32, np.int64, np.int32, np.int8,
    ]  # fmt: skip
    check_preambles(found)


def check_preambles(tokens: TokenSet) -> None:
    """Each example begins with its preamble, and has a token of its prompt beside it."""
    for index, kind in enumerate(tokens.preamble_of):
        if kind >= 0:
            preamble = tokens.preambles[kind].tolist()
            begin = tokens.starts[index]
            assert 0 < len(preamble) < tokens.prompt_lengths[index]
            assert tokens.ids[begin : begin + len(preamble)].tolist() == preamble
    assert set(tokens.preamble_of.tolist()) - {-1} == set(range(len(tokens.preambles)))


def test_preambles_are_as_long_as_all_examples_have_them_in_common(tokenizer: Tokenizer, tmp_path: Path) -> None:
    """An instruction whose first letters join the words before it makes the preamble a token shorter for all."""
    template = Template(with_input="Sort these: {instruction} | {input} =>", without_input="Name th{instruction} =>")
    examples = [Example("x", "", "y"), Example("5", "7", "y"), Example("ree birds", "", "y"), Example("z", "1", "y")]
    found = make_tokens(written(tmp_path / "data.jsonl", examples), template, tokenizer, DataSettings())

    check_preambles(found)
    assert found.preamble_of.tolist() == [0, 1, 0, 1]
    for kind, rows in enumerate(([0, 2], [1, 3])):
        beginnings = [found.ids[found.starts[row] :][: len(found.preambles[kind]) + 1].tolist() for row in rows]
        words = tokenizer.encode(["Name th" if kind == 0 else "Sort these: "])[0]
        common = itertools.takewhile(lambda ids: len(set(ids)) == 1, zip(*beginnings, words, strict=False))
        assert found.preambles[kind].tolist() == [ids[0] for ids in common]
    assert tokenizer.encode(["Name three"])[0][: len(words)] != tokenizer.encode(["Name th"])[0]


def test_examples_that_begin_alike_share_a_preamble(tokenizer: Tokenizer, tmp_path: Path) -> None:
    template = Template(with_input="Q:\n{input} {instruction}\nA:", without_input="Q:\n{instruction}\nA:")
    found = make_tokens(written(tmp_path / "data.jsonl", EXAMPLES), template, tokenizer, DataSettings())

    assert found.preamble_of.tolist() == [0, 0, 0]
    assert len(found.preambles) == 1


def test_a_template_that_begins_with_a_field_has_no_preamble(tmp_path: Path) -> None:
    model = generic(tmp_path / "model", byte_level(opening=False))
    found = make_tokens(written(tmp_path / "data.jsonl", EXAMPLES), BARE, open_tokenizer(model, "none"), DataSettings())

    assert (found.preambles, found.preamble_of.tolist()) == ((), [-1, -1, -1])


def test_batches_of_rows_leave_no_mark(tokenizer: Tokenizer, tmp_path: Path) -> None:
    few = make_tokens(written(tmp_path / "few.jsonl", EXAMPLES), alpaca_template(), tokenizer, DataSettings())
    told: list[tuple[int, int]] = []
    many = make_tokens(
        written(tmp_path / "many.jsonl", EXAMPLES * 3000), alpaca_template(), tokenizer, DataSettings(),
        listener=lambda *rows: told.append(rows),
    )  # fmt: skip

    assert np.array_equal(many.ids, np.tile(few.ids, 3000))
    assert np.array_equal(many.starts[:-1].reshape(3000, 3) % len(few.ids), np.tile(few.starts[:-1], (3000, 1)))
    assert np.array_equal(many.preamble_of, np.tile(few.preamble_of, 3000))
    assert told[-1] == (9000, 9000)
    assert len(told) > 2
    assert told == sorted(told)


def test_a_dataset_in_any_format_comes_to_the_same_tokens(tokenizer: Tokenizer, tmp_path: Path) -> None:
    examples = [Example(f"{each.instruction} {n}", each.input, each.output) for n in range(40) for each in EXAMPLES]
    data = written(tmp_path / "data.jsonl", examples)
    first = make_tokens(data, alpaca_template(), tokenizer, DataSettings())
    shards = tmp_path / "shards"
    shards.mkdir()
    written(shards / "a.jsonl", examples[:50])
    written(tmp_path / "rest.jsonl", examples[50:])
    convert(tmp_path / "rest.jsonl", "parquet", shards / "b.parquet")
    sources: list[Path] = [shards, shards / "*"]
    for name in ("alpaca", "messages", "sharegpt", "parquet", "prompt-completion", "text"):
        sources.append(
            tmp_path / f"{name}.{'json' if name == 'alpaca' else 'parquet' if name == 'parquet' else 'jsonl'}"
        )
        convert(data, name, sources[-1])

    assert len(first) == 120
    for source in sources:
        assert equal(make_tokens(source, alpaca_template(), tokenizer, DataSettings()), first, but=("key",)), source


def test_the_same_is_opened_again_and_anything_else_is_made(tokenizer: Tokenizer, tmp_path: Path) -> None:
    data = written(tmp_path / "data.jsonl", EXAMPLES)
    told: list[tuple[int, int]] = []

    def make(path: Path = data, template: Template | None = None, **values: Any) -> str:
        told.clear()
        found = make_tokens(
            path, template or alpaca_template(), values.pop("tokenizer", tokenizer), DataSettings(**values),
            listener=lambda *rows: told.append(rows),
        )  # fmt: skip
        return found.facts.key

    key = make()
    assert told == [(3, 3)]
    assert make() == key
    assert told == []
    (tmp_path / "elsewhere").mkdir()
    assert make(written(tmp_path / "elsewhere" / "other.jsonl", EXAMPLES), val_fraction=0.5) == key
    assert told == []
    padded = open_tokenizer(generic(tmp_path / "model"), "add")
    keys = {
        key,
        make(written(tmp_path / "more.jsonl", EXAMPLES[:2])),
        make(template=BARE),
        make(tokenizer=padded),
        make(max_tokens=300),
        make(overlong="drop"),
    }
    assert len(keys) == 6


def test_what_is_kept_is_opened_only_as_it_was_written(tokenizer: Tokenizer, tmp_path: Path) -> None:
    data = written(tmp_path / "data.jsonl", EXAMPLES)
    first = make_tokens(data, alpaca_template(), tokenizer, DataSettings())
    (folder,) = (path for path in (tmp_path / "cache" / "tokens").iterdir() if path.is_dir())
    assert equal(open_tokens(folder), first)

    names = sorted(path.name for path in folder.iterdir())
    assert names == ["ids.bin", "manifest.json", "preamble_of.npy", "prompt_lengths.npy", "starts.npy"]
    for path in sorted(folder.iterdir()):
        raw = path.read_bytes()
        middle = len(raw) // 2
        flipped = [raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :] for at in (0, middle)]
        for torn in (raw[:middle], b"", *flipped, None):
            path.unlink()
            if torn is not None:
                path.write_bytes(torn)
            with pytest.raises(IntegrityError, match="expected this folder as it was written") as caught:
                open_tokens(folder)
            assert caught.value.problems[0].where == str(folder)
            assert equal(make_tokens(data, alpaca_template(), tokenizer, DataSettings()), first)
            assert path.read_bytes() == raw
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name, f"{folder.name}.lock"]


def test_what_a_killed_process_left_is_removed(tokenizer: Tokenizer, tmp_path: Path) -> None:
    data = written(tmp_path / "data.jsonl", EXAMPLES)
    key = make_tokens(data, alpaca_template(), tokenizer, DataSettings()).facts.key
    folder = tmp_path / "cache" / "tokens" / key
    (folder / "ids.bin").unlink()
    left = folder.with_name(f".{key}.abc.tmp")
    left.mkdir()
    (left / "ids.bin").write_bytes(b"half")
    make_tokens(data, alpaca_template(), tokenizer, DataSettings())

    assert not left.exists()


def test_of_two_processes_one_works(tmp_path: Path) -> None:
    model = generic(tmp_path / "model")
    data = written(tmp_path / "data.jsonl", EXAMPLES * 2000)
    code = (
        "import sys; from pathlib import Path\n"
        "from alpaca_cli.finetune.tokens.tokenizer import open_tokenizer\n"
        "from alpaca_cli.finetune.tokens.token_set import make_tokens\n"
        "from alpaca_cli.format.template import alpaca_template\n"
        "from alpaca_cli.recipe.finetune import DataSettings\n"
        "model, data = map(Path, sys.argv[1:])\n"
        "told = []\n"
        "found = make_tokens(data, alpaca_template(), open_tokenizer(model, 'none'), DataSettings(), "
        "listener=lambda done, total: told.append((done, total)))\n"
        "print(len(found), told[-1:])\n"
    )
    command = [sys.executable, "-c", code, str(model), str(data)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    runs = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = sorted(run.communicate(timeout=60)[0] for run in runs)

    assert answers == ["6000 [(6000, 6000)]\n", "6000 []\n"]
    assert [run.returncode for run in runs] == [0, 0]


def test_rows_that_are_no_example_are_told_with_a_way_out(tokenizer: Tokenizer, tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text('{"instruction": "a", "output": "b"}\n{"instruction": "a", "output": ""}\n{"instruction": 1}\n')

    with pytest.raises(DataError) as caught:
        make_tokens(data, alpaca_template(), tokenizer, DataSettings())
    problems = caught.value.problems
    assert (problems[0].where, problems[0].message) == (f"{data}:2", "output: empty")
    assert problems[-1].where == f"{data}:3"
    assert problems[-1].hint is not None and "--set data.skip_bad=true" in problems[-1].hint
    assert [path.suffix for path in (tmp_path / "cache" / "tokens").iterdir()] == [".lock"]


def test_rows_that_are_too_long_are_told_and_counted(tokenizer: Tokenizer, tmp_path: Path) -> None:
    long = Example("Say it.", "", "word " * 400)
    data = written(tmp_path / "data.jsonl", [EXAMPLES[0], *[long] * 12, EXAMPLES[1]])
    length = len(tokenizer.encode([alpaca_template().render(long) + long.output + "</s>"])[0])

    with pytest.raises(DataError) as caught:
        make_tokens(data, alpaca_template(), tokenizer, DataSettings(overlong="error"))
    problems = caught.value.problems
    assert problems[0].message == "12 rows longer than data.max_tokens; the first of them:"
    assert problems[0].where == str(data)
    assert "data.overlong" in (problems[0].hint or "")
    assert [problem.where for problem in problems[1:]] == [f"{data}:{line}" for line in range(2, 12)]
    assert problems[1].message == f"expected at most 512 tokens, found {length:,}"
    fitting = make_tokens(data, alpaca_template(), tokenizer, DataSettings(overlong="error", max_tokens=length))
    assert len(fitting) == 14


def test_a_limit_within_every_prompt_leaves_nothing(tokenizer: Tokenizer, tmp_path: Path) -> None:
    data = written(tmp_path / "data.jsonl", EXAMPLES)

    with pytest.raises(DataError, match="none of 3 rows has a response within 10 tokens") as caught:
        make_tokens(data, alpaca_template(), tokenizer, DataSettings(max_tokens=10))
    assert caught.value.problems[0].where == str(data)
    assert caught.value.problems[0].hint is not None


def test_half_a_character_is_told_with_its_place(tokenizer: Tokenizer, tmp_path: Path) -> None:
    data = written(tmp_path / "data.jsonl", [EXAMPLES[0], Example("a", "", "\ud83d"), EXAMPLES[1]])

    with pytest.raises(DataError) as caught:
        make_tokens(data, alpaca_template(), tokenizer, DataSettings())
    (problem,) = caught.value.problems
    assert problem.where == f"{data}:2"
    assert problem.message == "half of a character, which has no tokens"


def test_no_dataset(tokenizer: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such dataset"):
        make_tokens(tmp_path / "data.json", alpaca_template(), tokenizer, DataSettings())


def test_what_is_not_trained_as_it_stands_is_told(tokenizer: Tokenizer, tmp_path: Path) -> None:
    rows: list[dict[str, str]] = [
        {"instruction": "Strike it.", "output": "<s>it</s>", "source": "web"},
        {"instruction": "Say it.", "output": "word " * 400},
        {"instruction": "word " * 600, "output": "no"},
        {"instruction": "Name it.", "output": "Hen"},
    ]
    data = tmp_path / "data.jsonl"
    data.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    cut = make_tokens(data, alpaca_template(), tokenizer, DataSettings()).facts
    dropped = make_tokens(data, alpaca_template(), tokenizer, DataSettings(overlong="drop")).facts

    marked = "1 row with the text of a special token in it, trained as that token"
    assert cut.notes == (
        "keys left out: source (1 row)",
        "1 row cut at data.max_tokens, and so trained not to stop there",
        "1 row without any of the response within data.max_tokens, left out",
        marked,
    )
    assert (cut.num_rows, cut.num_examples, cut.num_truncated, cut.num_unsupervised) == (4, 3, 1, 1)
    assert dropped.notes == (cut.notes[0], "2 rows longer than data.max_tokens, left out", marked)
    assert (dropped.num_examples, dropped.num_dropped_overlong) == (2, 2)


def test_prompts_of_another_template_are_told(tokenizer: Tokenizer, tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text('{"prompt": "Q: Add.", "completion": "3"}\n')
    notes = make_tokens(data, alpaca_template(), tokenizer, DataSettings()).facts.notes

    assert notes == ("1 prompt not made by this template, taken whole as the instruction: it is put around them",)


def test_a_border_that_shifts_is_counted(tokenizer: Tokenizer, tmp_path: Path) -> None:
    """Where the prompt ends in what a tokenizer joins with the response, as with PR 229 of the original."""
    template = Template(with_input="{instruction} {input} th", without_input="{instruction} th")
    data = written(tmp_path / "data.jsonl", [Example("Name", "", "ree birds"), Example("Name", "", " ree")])
    facts = make_tokens(data, template, tokenizer, DataSettings()).facts

    assert facts.num_shifted == 1
    assert facts.notes == ("1 row with a token that is part prompt and part response",)


@given(number=st.integers(2, 300), fraction=st.floats(0.001, 0.999), seed=st.integers(0, 2**40))
def test_a_split_is_of_the_size_asked_and_the_same_every_time(number: int, fraction: float, seed: int) -> None:
    train, held_out = split(number, fraction, seed)

    assert sorted([*train, *held_out]) == list(range(number))
    assert (np.diff(train) > 0).all() and (np.diff(held_out) > 0).all()
    assert abs(len(held_out) - fraction * number) <= 0.5 + 1e-9 or len(held_out) in (1, number - 1)
    assert 1 <= len(held_out) < number
    assert all(map(np.array_equal, split(number, fraction, seed), (train, held_out)))


def test_a_split_is_the_same_on_every_machine(tokenizer: Tokenizer, tmp_path: Path) -> None:
    assert [part.tolist() for part in split(10, 0.25, 42)] == [[0, 2, 3, 5, 6, 7, 9], [1, 4, 8]]
    assert split(52_002, 0.01, 42)[1][:5].tolist() == [51, 422, 594, 646, 740]
    tokens = make_tokens(written(tmp_path / "data.jsonl", EXAMPLES), alpaca_template(), tokenizer, DataSettings())
    assert all(map(np.array_equal, split(tokens, 0.34, 1), split(3, 0.34, 1)))
    assert not np.array_equal(split(100, 0.1, 1)[1], split(100, 0.1, 2)[1])


def test_nothing_is_held_out_of_too_few_or_if_not_asked_for() -> None:
    assert [part.tolist() for part in split(3, 0, 42)] == [[0, 1, 2], []]
    with pytest.raises(DataError, match="expected at least 2 examples to hold some out, found 1"):
        split(1, 0.5, 42)


def test_malformed_rows_are_left_out_and_counted_when_that_is_asked(tmp_path: Path, tokenizer: Tokenizer) -> None:
    good = {"instruction": "Name a bird.", "input": "", "output": "Owl."}
    data = tmp_path / "data.jsonl"
    data.write_text("".join(f"{json.dumps(row)}\n" for row in (good, {**good, "output": ""}, good)))
    tokens = make_tokens(data, alpaca_template(), tokenizer, DataSettings(skip_bad=True))

    assert (tokens.facts.num_rows, tokens.facts.num_examples, tokens.facts.num_bad) == (3, 2, 1)
    assert "1 row malformed, left out" in tokens.facts.notes
