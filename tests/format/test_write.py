"""Writing: the bytes of every format, and the examples that a format cannot hold."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alpaca_cli.data.example import Example
from alpaca_cli.errors import AlpacaError, DataError, UsageError
from alpaca_cli.format.names import FORMAT_NAMES
from alpaca_cli.format.read import read_dataset
from alpaca_cli.format.template import alpaca_template
from alpaca_cli.format.write import unwritable, write_dataset

ADD = Example('Add "it".', "1 2", "3\n")
HI = Example("Grüße 🦙", "", "hi")
HALF = Example("Half \ud83d.", "", "x")

INTRO = "Below is an instruction that describes a task"
WITH = (
    ", paired with an input that provides further context. Write a response that appropriately completes the request."
)
WITHOUT = ". Write a response that appropriately completes the request."
PROMPT_ADD = rf"{INTRO}{WITH}\n\n### Instruction:\nAdd \"it\".\n\n### Input:\n1 2\n\n### Response:"
PROMPT_HI = rf"{INTRO}{WITHOUT}\n\n### Instruction:\nGrüße 🦙\n\n### Response:"

GOLDEN = {
    "alpaca": r"""[
    {
        "instruction": "Add \"it\".",
        "input": "1 2",
        "output": "3\n"
    },
    {
        "instruction": "Grüße 🦙",
        "input": "",
        "output": "hi"
    }
]""",
    "jsonl": r"""{"instruction": "Add \"it\".", "input": "1 2", "output": "3\n"}
{"instruction": "Grüße 🦙", "input": "", "output": "hi"}
""",
    "messages": r"""{"messages": [{"role": "user", "content": "Add \"it\".\n\nInput:\n1 2"}, {"role": "assistant", "content": "3\n"}]}
{"messages": [{"role": "user", "content": "Grüße 🦙"}, {"role": "assistant", "content": "hi"}]}
""",  # noqa: E501
    "sharegpt": r"""{"conversations": [{"from": "human", "value": "Add \"it\".\n\nInput:\n1 2"}, {"from": "gpt", "value": "3\n"}]}
{"conversations": [{"from": "human", "value": "Grüße 🦙"}, {"from": "gpt", "value": "hi"}]}
""",  # noqa: E501
    "prompt-completion": rf"""{{"prompt": "{PROMPT_ADD}", "completion": "3\n"}}
{{"prompt": "{PROMPT_HI}", "completion": "hi"}}
""",
    "text": rf"""{{"text": "{PROMPT_ADD}3\n"}}
{{"text": "{PROMPT_HI}hi"}}
""",
}


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("format_", GOLDEN)
def test_golden_bytes(tmp_path: Path, format_: str) -> None:
    path = tmp_path / "folder" / "data"
    size = write_dataset(path, [ADD, HI], format_)
    assert path.read_bytes() == GOLDEN[format_].encode()
    assert size == path.stat().st_size
    assert left_in(path.parent) == ["data"]


def test_every_format_is_tested_to_the_byte() -> None:
    assert {*GOLDEN, "parquet"} == set(FORMAT_NAMES)


def test_alpaca_is_what_the_standard_library_writes(tmp_path: Path) -> None:
    write_dataset(tmp_path / "data", [ADD, HI], "alpaca")
    rows = [ADD.as_dict(), HI.as_dict()]
    assert (tmp_path / "data").read_text("utf-8") == json.dumps(rows, indent=4, ensure_ascii=False)


def test_parquet_has_three_columns_of_strings_and_the_same_bytes_every_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert write_dataset(tmp_path / name, [ADD, HI], "parquet") == (tmp_path / name).stat().st_size
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    table = pq.read_table(tmp_path / "a")
    assert table.schema == pa.schema([(name, pa.string()) for name in ("instruction", "input", "output")])
    assert table.to_pylist() == [ADD.as_dict(), HI.as_dict()]
    column = pq.ParquetFile(tmp_path / "a").metadata.row_group(0).column(0)
    assert column.compression == "ZSTD"


def test_a_lone_surrogate_is_escaped_and_its_neighbours_stay_readable(tmp_path: Path) -> None:
    write_dataset(tmp_path / "data", [HALF, HI], "alpaca")
    text = (tmp_path / "data").read_text("utf-8")
    assert '"Half \\ud83d."' in text
    assert "Grüße 🦙" in text
    assert read_dataset(tmp_path / "data").examples == [HALF, HI]


def refused(example: Example, format_: str) -> list[str]:
    found = unwritable([HI, example], format_, places=["data:1", "data:2"])
    assert set(found) <= {1}
    return [str(problem) for problem in found.get(1, [])]


@pytest.mark.parametrize("format_", ["messages", "sharegpt"])
def test_a_joint_inside_an_instruction_is_refused_by_chats_only(format_: str) -> None:
    example = Example("Explain:\n\nInput:\nfoo", "", "x")
    message = "data:2: instruction and input cannot be told apart when read back from"
    assert refused(example, format_) == [f"{message} {format_}"]
    for other in ("alpaca", "jsonl", "parquet", "prompt-completion", "text"):
        assert refused(example, other) == []


def test_a_joint_inside_an_input_or_output_or_at_the_end_is_held() -> None:
    for example in (Example("a", "b\n\nInput:\nc", "d\n\nInput:\ne"), Example("a\n\nInput:\n", "", "x")):
        for format_ in FORMAT_NAMES:
            assert refused(example, format_) == []


def test_a_joint_that_only_the_joining_makes() -> None:
    assert refused(Example("a", "Input:\n", "x"), "messages") == []
    assert refused(Example("a\n\n", "\n\nInput:\n", "x"), "messages") == []
    overlap = Example("a\n\nInput:", "b", "x")  # its last line and the joint's first newline are a joint too early
    assert refused(overlap, "messages") != []


def test_the_templates_own_words_inside_an_example() -> None:
    answer = Example("a\n\n### Response:b", "", "x")
    assert refused(answer, "text") == ["data:2: instruction and output cannot be told apart when read back from text"]
    assert refused(answer, "prompt-completion") == []
    both = Example("a\n\n### Input:\nb", "c", "x")
    message = "data:2: instruction and input cannot be told apart when read back from"
    for format_ in ("text", "prompt-completion"):
        assert refused(both, format_) == [f"{message} {format_}"]
    assert refused(Example("a", "b\n\n### Input:\nc", "### Response:\n\n### Response:"), "text") == []
    whole = Example(alpaca_template().render(ADD), "", "x")
    assert refused(whole, "prompt-completion") == []
    assert refused(whole, "text") != []


def test_parquet_cannot_hold_a_lone_surrogate() -> None:
    message = "data:2: instruction: a lone surrogate (U+D83D) at character 6, which parquet cannot hold"
    assert refused(HALF, "parquet") == [message]
    for format_ in FORMAT_NAMES:
        assert format_ == "parquet" or refused(HALF, format_) == []


def test_two_halves_side_by_side_would_become_one_character_in_json() -> None:
    example = Example("x", "\ud83d\ude00", "y")
    for format_ in FORMAT_NAMES:
        (problem,) = refused(example, format_)
        if format_ == "parquet":
            assert problem == "data:2: input: a lone surrogate (U+D83D) at character 1, which parquet cannot hold"
        else:
            assert problem == "data:2: input: two surrogate halves side by side, which JSON reads as one character"


@pytest.mark.parametrize("format_", FORMAT_NAMES)
def test_what_reading_would_refuse_is_not_written(format_: str) -> None:
    assert refused(Example("", "", " "), format_) == ["data:2: instruction: empty", "data:2: output: empty"]


def test_write_dataset_tells_all_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError) as raised:
        write_dataset(tmp_path / "data", [HI, HALF, HI, Example("a", "", "")], "parquet")
    assert [problem.where for problem in raised.value.problems] == ["examples[1]", "examples[3]"]
    assert left_in(tmp_path) == []


def test_no_examples(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no example to write"):
        write_dataset(tmp_path / "data", [], "jsonl")
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(("name", "hint"), [("mesages", "did you mean messages?"), ("csv", "choose one of: alpaca, ")])
def test_unknown_format(tmp_path: Path, name: str, hint: str) -> None:
    with pytest.raises(UsageError, match=f"no such format: {name}") as raised:
        write_dataset(tmp_path / "data", [HI], name)
    assert (raised.value.problems[0].hint or "").startswith(hint)
    assert left_in(tmp_path) == []


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_text("mine")
    with pytest.raises(UsageError, match="output exists"):
        write_dataset(path, [HI], "jsonl")
    assert path.read_text() == "mine"
    write_dataset(path, [HI], "jsonl", force=True)
    assert read_dataset(path).examples == [HI]


@pytest.mark.parametrize("format_", FORMAT_NAMES)
def test_a_place_that_cannot_be_written(tmp_path: Path, format_: str) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError) as raised:
        write_dataset(tmp_path / "file" / "data", [HI], format_)
    assert raised.value.problems[0].where == str(tmp_path / "file" / "data")
    assert left_in(tmp_path) == ["file"]
    with pytest.raises(UsageError, match="found a directory"):
        write_dataset(tmp_path, [HI], format_, force=True)


def test_a_failure_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    class Tired(list[Example]):
        def __iter__(self) -> object:  # type: ignore[override]
            self.times = getattr(self, "times", 0) + 1
            yield from list.__iter__(self) if self.times == 1 else ()
            if self.times > 1:
                raise AlpacaError("tired")

    with pytest.raises(AlpacaError, match="tired"):
        write_dataset(tmp_path / "data", Tired([HI, ADD]), "jsonl")
    assert left_in(tmp_path) == []
