"""Reading: what form a file has is found out, what is wrong with it is told all at once, nothing is guessed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alpaca_cli.data.example import Example
from alpaca_cli.errors import DataError, UsageError
from alpaca_cli.format.read import read_dataset
from alpaca_cli.format.sharded import ShardedDataset
from alpaca_cli.format.template import Template, alpaca_template
from alpaca_cli.format.write import write_dataset

ADD = Example("Add.", "1 2", "3")
HI = Example("Say hi.", "", "hi")
PLAIN = {"instruction": "Say hi.", "output": "hi"}


def chat(*contents: object, roles: tuple[str, ...] = ("user", "assistant"), **more: object) -> dict[str, Any]:
    said = zip(roles, contents, strict=True)
    return {"messages": [{"role": role, "content": content} for role, content in said], **more}


def sharegpt(asked: str, answer: str) -> dict[str, Any]:
    return {"conversations": [{"from": "human", "value": asked}, {"from": "gpt", "value": answer}]}


def lines(*rows: object) -> str:
    return "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)


def put(folder: Path, content: str | bytes, name: str = "data") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def put_table(folder: Path, columns: dict[str, object]) -> Path:
    path = folder / "data.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def told(path: Path, **options: Any) -> list[str]:
    """The problems of a file that cannot be read, without its name."""
    with pytest.raises(DataError) as raised:
        read_dataset(path, **options)
    with pytest.raises(DataError) as streamed:
        list(ShardedDataset(path, **options).batches())
    assert streamed.value.problems == raised.value.problems
    return [str(problem).replace(str(path), "data") for problem in raised.value.problems]


def hint(path: Path) -> str | None:
    with pytest.raises(DataError) as raised:
        read_dataset(path)
    return raised.value.problems[0].hint


# what messages say over and over
KNOWN = "expected instruction and output, or messages, or conversations, or prompt and completion, or text"
LIKE_FIELDS = "expected the keys instruction and output, as the other rows have, found"
LIKE_MESSAGES = "expected the keys messages, as the other rows have, found"
NO_FORM = "expected a JSON list, JSON Lines or parquet, found a text that begins:"
NO_PLACE = "an example has no place for it"
ONE_EXCHANGE = "expected one exchange (user, assistant), found"
SPREAD = "expected one JSON object a line, found one over lines"
SYSTEM = "a system message, for which an example has no place"

PROMPT_HI, PROMPT_ADD = alpaca_template().render(HI), alpaca_template().render(ADD)
ASKED = "Add.\n\nInput:\n1 2"


@pytest.mark.parametrize(
    ("content", "format_"),
    [
        (json.dumps([HI.as_dict(), ADD.as_dict()]), "alpaca"),
        ("\n \t" + json.dumps([HI.as_dict(), ADD.as_dict()], indent=4) + "\n\n", "alpaca"),
        ("\ufeff" + json.dumps([PLAIN, ADD.as_dict()]), "alpaca"),
        (lines(HI.as_dict(), ADD.as_dict()), "jsonl"),
        (lines(PLAIN, "", "  ", ADD.as_dict()).replace("\n", "\r\n"), "jsonl"),
        ("\ufeff\n" + lines(PLAIN, ADD.as_dict()), "jsonl"),
        (lines(chat("Say hi.", "hi"), chat(ASKED, "3")), "messages"),
        (lines(sharegpt("Say hi.", "hi"), sharegpt(ASKED, "3")), "sharegpt"),
        (json.dumps([sharegpt("Say hi.", "hi"), sharegpt(ASKED, "3")]), "sharegpt"),
        (
            lines({"prompt": PROMPT_HI, "completion": "hi"}, {"prompt": PROMPT_ADD, "completion": "3"}),
            "prompt-completion",
        ),
        (lines({"text": PROMPT_HI + "hi"}, {"text": PROMPT_ADD + "3"}), "text"),
    ],
)
def test_the_form_is_found_out(tmp_path: Path, content: str, format_: str) -> None:
    dataset = read_dataset(put(tmp_path, content))
    assert dataset.examples == [HI, ADD]
    assert dataset.format == format_
    assert dataset.skipped == 0
    assert dataset.problems == ()


def test_parquet_is_found_out(tmp_path: Path) -> None:
    columns = {"output": ["hi", "3"], "input": ["", "1 2"], "instruction": ["Say hi.", "Add."]}
    dataset = read_dataset(put_table(tmp_path, columns).rename(tmp_path / "data.json"))
    assert dataset.examples == [HI, ADD]
    assert dataset.format == "parquet"
    assert dataset.places == [f"{tmp_path / 'data.json'}[{index}]" for index in (0, 1)]
    assert dataset.notes == ()


@pytest.mark.parametrize("kind", [pa.large_string(), pa.dictionary(pa.int8(), pa.string())])
def test_parquet_of_any_kind_of_text(tmp_path: Path, kind: pa.DataType) -> None:
    columns = {"instruction": pa.array(["Say hi."]).cast(kind), "output": pa.array(["hi"]).cast(kind)}
    assert read_dataset(put_table(tmp_path, columns)).examples == [HI]


def test_places_are_lines_or_indexes(tmp_path: Path) -> None:
    path = put(tmp_path, lines("", PLAIN, "", PLAIN))
    assert read_dataset(path).places == [f"{path}:2", f"{path}:4"]
    path = put(tmp_path, json.dumps([PLAIN, PLAIN]))
    assert read_dataset(path).places == [f"{path}[0]", f"{path}[1]"]


def test_the_joint_is_split_at_its_first(tmp_path: Path) -> None:
    asked = "a\n\nInput:\nb\n\nInput:\nc"
    path = put(tmp_path, lines(chat(asked, "x"), chat("a\n\nInput:\n", "x"), chat("a\nInput:\nb", "x")))
    assert read_dataset(path).examples == [
        Example("a", "b\n\nInput:\nc", "x"),
        Example("a\n\nInput:\n", "", "x"),  # nothing stands after it: part of the instruction
        Example("a\nInput:\nb", "", "x"),
    ]


def test_a_prompt_of_another_template_is_all_instruction(tmp_path: Path) -> None:
    rows = [{"prompt": PROMPT_HI, "completion": "hi"}, {"prompt": "Q: Say hi.\nA:", "completion": " hi"}]
    dataset = read_dataset(put(tmp_path, lines(*rows)))
    assert dataset.examples == [HI, Example("Q: Say hi.\nA:", "", " hi")]
    assert dataset.notes == (
        "1 prompt not made by this template, taken whole as the instruction: "
        "written as prompt-completion or text, the template is put around it",
    )


def test_another_template(tmp_path: Path) -> None:
    template = Template(with_input="{instruction} ({input}):", without_input="{instruction}:")
    path = put(tmp_path, lines({"text": "Say hi.:hi"}, {"text": "Add. (1 2):3"}))
    assert read_dataset(path, template=template).examples == [HI, ADD]


def test_left_out_keys_are_counted(tmp_path: Path) -> None:
    odd = "bell\x07" + "x" * 60
    rows = [{**PLAIN, "id": 7, "null": None}, {**PLAIN, "id": 8, odd: 1}, {**PLAIN, "system": "", "history": []}]
    shown = json.dumps("bell\x07" + "x" * 35 + "...")
    dataset = read_dataset(put(tmp_path, lines(*rows)))
    assert dataset.examples == [HI, HI, HI]
    assert dataset.notes == (f"keys left out: {shown} (1 row), history (1 row), id (2 rows), system (1 row)",)


def test_left_out_keys_inside_messages_are_counted(tmp_path: Path) -> None:
    row = chat("Say hi.", "hi", id="x")
    for message in row["messages"]:
        message |= {"weight": 1, "tool_calls": None}
    dataset = read_dataset(put(tmp_path, lines(row, row)))
    assert dataset.notes == ("keys left out: id (2 rows), messages[].weight (2 rows)",)


def test_left_out_columns_are_counted_and_not_read(tmp_path: Path) -> None:
    columns = {"instruction": ["Say hi."] * 3, "output": ["hi"] * 3, "score": [1, 2, None], "text": ["x"] * 3}
    dataset = read_dataset(put_table(tmp_path, columns))
    assert dataset.examples == [HI] * 3
    assert dataset.notes == ("keys left out: score (3 rows), text (3 rows)",)


def test_a_list_of_other_rows_says_that_it_will_be_lines(tmp_path: Path) -> None:
    dataset = read_dataset(put(tmp_path, json.dumps([chat("Say hi.", "hi")])))
    assert dataset.format == "messages"
    assert dataset.notes == ("a JSON list of messages rows: written as messages they stand one a line",)


def test_parquet_of_messages(tmp_path: Path) -> None:
    row = chat("Say hi.", "hi")
    dataset = read_dataset(put_table(tmp_path, {"messages": [row["messages"]], "id": [1]}))
    assert dataset.examples == [HI]
    assert dataset.format == "parquet"
    assert dataset.notes == (
        "keys left out: id (1 row)",
        "columns of the form messages: written as parquet they are instruction, input and output",
    )


# rows that are no examples


@pytest.mark.parametrize(
    ("row", "problems"),
    [
        ({"instruction": "a"}, ["output: missing"]),
        ({"output": "a"}, ["instruction: missing"]),
        ({"instruction": "", "output": " \n"}, ["instruction: empty", "output: empty"]),
        (
            {"instruction": 3, "output": None},
            ["instruction: expected a string, found a number", "output: expected a string, found null"],
        ),
        ({**PLAIN, "output": ["hi"]}, ["output: expected a string, found a list"]),
        ({**PLAIN, "input": None}, ["input: expected a string, found null"]),
        ({**PLAIN, "input": {}}, ["input: expected a string, found an object"]),
        ({**PLAIN, "system": "Be brief."}, [f"system: {NO_PLACE}"]),
        ({**PLAIN, "history": [["a", "b"]], "images": ["x.png"]}, [f"history: {NO_PLACE}", f"images: {NO_PLACE}"]),
        ({"question": "a", "answer": "b"}, [f"{LIKE_FIELDS} question, answer"]),
        (chat("a", "b"), [f"{LIKE_FIELDS} messages"]),
        ({}, [f"{LIKE_FIELDS} none"]),
        ([1], ["expected an object, found a list"]),
        ("null", ["expected an object, found null"]),
    ],
)
def test_bad_row_with_fields(tmp_path: Path, row: object, problems: list[str]) -> None:
    path = put(tmp_path, lines(PLAIN, row, PLAIN))
    assert told(path) == [f"data:2: {problem}" for problem in problems]
    path = put(tmp_path, json.dumps([PLAIN, None if row == "null" else row, PLAIN]))
    assert told(path) == [f"data[1]: {problem}" for problem in problems]
    dataset = read_dataset(path, skip_bad=True)
    assert dataset.examples == [HI, HI]
    assert dataset.places == [f"{path}[0]", f"{path}[2]"]
    assert dataset.skipped == 1
    assert [problem.message for problem in dataset.problems] == problems


def with_message(index: int, **more: object) -> dict[str, Any]:
    row = chat("a", "b")
    row["messages"][index] |= more
    return row


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"messages": None}, "messages: expected a list, found null"),
        ({"messages": []}, f"messages: {ONE_EXCHANGE} 0 messages"),
        ({"messages": ["a", "b"]}, "messages[0]: expected an object, found a string"),
        (chat("a", roles=("user",)), f"messages: {ONE_EXCHANGE} 1 message"),
        (chat("a", "b", "c", "d", roles=("user", "assistant") * 2), f"messages: {ONE_EXCHANGE} 4 messages"),
        (chat("s", "a", "b", roles=("system", "user", "assistant")), f"messages[0]: {SYSTEM}"),
        (chat("s", "b", roles=("developer", "assistant")), f"messages[0]: {SYSTEM}"),
        (chat("a", "b", roles=("user", "tool")), 'messages[1].role: expected assistant, found "tool"'),
        (with_message(0, role=None), "messages[0].role: expected user, found nothing"),
        (with_message(0, role=3), "messages[0].role: expected user, found a number"),
        (with_message(0, content=None), "messages[0].content: expected a string, found null"),
        (
            with_message(0, content=[{"type": "text", "text": "a"}]),
            "messages[0].content: expected a string, found a list",
        ),
        (with_message(1, content=" "), "messages[1].content: empty"),
        (with_message(1, tool_calls=[{"id": "x"}]), f"messages[1].tool_calls: {NO_PLACE}"),
        (with_message(0, content="\n\nInput:\nx"), "messages[0].content: the instruction in it is empty"),
        (chat("a", "b", tools=[{}]), f"tools: {NO_PLACE}"),
        ({"conversations": []}, f"{LIKE_MESSAGES} conversations"),
    ],
)
def test_bad_row_of_messages(tmp_path: Path, row: object, problem: str) -> None:
    path = put(tmp_path, lines(chat("a", "b"), row))
    assert told(path) == [f"data:2: {problem}"]
    assert read_dataset(path, skip_bad=True).skipped == 1


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (sharegpt("a", ""), "conversations[1].value: empty"),
        (
            {"conversations": [{"from": "user", "value": "a"}, {"from": "gpt", "value": "b"}]},
            'conversations[0].from: expected human, found "user"',
        ),
        (
            {"conversations": [{"from": "system", "value": "s"}, *sharegpt("a", "b")["conversations"]]},
            f"conversations[0]: {SYSTEM}",
        ),
        (
            {"conversations": sharegpt("a", "b")["conversations"] * 2},
            "conversations: expected one exchange (human, gpt), found 4 messages",
        ),
    ],
)
def test_bad_row_of_sharegpt(tmp_path: Path, row: object, problem: str) -> None:
    assert told(put(tmp_path, lines(sharegpt("a", "b"), row))) == [f"data:2: {problem}"]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"prompt": "", "completion": "b"}, "prompt: empty"),
        ({"prompt": "a"}, "completion: missing"),
        ({"prompt": [{"role": "user", "content": "a"}], "completion": "b"}, "prompt: expected a string, found a list"),
        ({"prompt": PROMPT_HI.replace("Say hi.", " "), "completion": "b"}, "prompt: the instruction in it is empty"),
    ],
)
def test_bad_row_of_prompt_completion(tmp_path: Path, row: object, problem: str) -> None:
    assert told(put(tmp_path, lines({"prompt": "a", "completion": "b"}, row))) == [f"data:2: {problem}"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Say hi.", "text: not made by this template, so that instruction and output cannot be told apart"),
        (PROMPT_HI, "text: the output in it is empty"),
        (PROMPT_HI.replace("Say hi.", "") + "hi", "text: the instruction in it is empty"),
        ("", "text: empty"),
        (None, "text: expected a string, found null"),
    ],
)
def test_bad_row_of_text(tmp_path: Path, text: str | None, problem: str) -> None:
    assert told(put(tmp_path, lines({"text": PROMPT_HI + "hi"}, {"text": text}))) == [f"data:2: {problem}"]


def test_bad_row_of_parquet(tmp_path: Path) -> None:
    columns = {"instruction": ["a", None, " "], "input": ["", None, ""], "output": ["x", "y", "z"]}
    path = put_table(tmp_path, columns).rename(tmp_path / "data")
    assert told(path) == [
        "data[1]: instruction: expected a string, found null",
        "data[1]: input: expected a string, found null",
        "data[2]: instruction: empty",
    ]
    assert read_dataset(path, skip_bad=True).examples == [Example("a", "", "x")]


def test_parquet_columns_that_are_no_text(tmp_path: Path) -> None:
    path = put_table(tmp_path, {"instruction": [1], "output": [b"x"]}).rename(tmp_path / "data")
    assert told(path) == [
        "data[0]: instruction: expected a string, found a number",
        "data[0]: output: expected a string, found bytes",
    ]


def test_bad_rows_are_told_all_at_once_and_in_order(tmp_path: Path) -> None:
    content = lines({"instruction": "a"}, PLAIN, '{"instruction": ', PLAIN, {**PLAIN, "output": ""}, "3", '{"a": NaN}')
    path = put(tmp_path, content)
    assert told(path) == [
        "data:1: output: missing",
        "data:3:17: invalid JSON: expecting value",
        "data:5: output: empty",
        "data:6: expected an object, found a number",
        "data:7: invalid JSON: NaN is not JSON",
    ]
    dataset = read_dataset(path, skip_bad=True)
    assert (len(dataset.examples), dataset.skipped, len(dataset.problems)) == (2, 5, 5)
    assert dataset.places == [f"{path}:2", f"{path}:4"]


def test_nothing_left_is_an_error_even_when_skipping(tmp_path: Path) -> None:
    path = put(tmp_path, lines({**PLAIN, "output": ""}, {**PLAIN, "instruction": 1}))
    assert told(path, skip_bad=True) == [
        "data: no example is left: every row is bad (2)",
        "data:1: output: empty",
        "data:2: instruction: expected a string, found a number",
    ]


# files that are no datasets


@pytest.mark.parametrize("content", ["", " \n\n", "\ufeff", "[]", "[\n]\n"])
def test_an_empty_file_is_an_error(tmp_path: Path, content: str) -> None:
    assert told(put(tmp_path, content)) == ["data: no rows in this file"]


def test_an_empty_table_is_an_error(tmp_path: Path) -> None:
    path = put_table(tmp_path, {"instruction": pa.array([], pa.string()), "output": pa.array([], pa.string())})
    assert told(path.rename(tmp_path / "data")) == ["data: no rows in this file"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('[{"instruction": "a",\n  "output": }]', "data:2:13: invalid JSON: expecting value"),
        ('[{"instruction": "a", "output": "b"},\n {"instr', "data:2:3: invalid JSON: unterminated string"),
        ('[{"instruction": "a"}]\n[2]', "data:2:1: invalid JSON: extra data"),
        ("[" * 100_000, "data:1: invalid JSON: nested too deeply"),
        ("\n\ninstruction,input,output\na,b,c\n", f"data:3: {NO_FORM} instruction,input,output"),
        ('"a"', f'data:1: {NO_FORM} "a"'),
        ("PAR", f"data:1: {NO_FORM} PAR"),
        ('{"question": 1, "answer": 2}', f"data:1: no form has the keys question, answer: {KNOWN}"),
        ('[{"instruction": "a"}]', f"data[0]: no form has the keys instruction: {KNOWN}"),
        (
            json.dumps({f"k{n}": n for n in range(20)}),
            f"data:1: no form has the keys k0, k1, k2, k3, k4, k5, k6, k7 and 12 more: {KNOWN}",
        ),
        ('{"instruction": "a",', "data:1:21: invalid JSON: expecting property name enclosed in double quotes"),
        (json.dumps(PLAIN, indent=2) + "\n", f"data:1: {SPREAD} 1 to 4"),
        ("\n" + json.dumps(PLAIN, indent=2) + "\n" + json.dumps(PLAIN, indent=2), f"data:2: {SPREAD} 2 to 5"),
        (b'{"instruction": "a", "output": "b"}\n{"instruction": "\xff"}', "data:2:18: invalid UTF-8: byte 0xff"),
        (b'[{"instruction":\n"\xe4"}]', "data:2:2: invalid UTF-8: byte 0xe4"),
        (b"\x1f\x8b\x08\x00", "data: expected a dataset, found a gzip file"),
        (b"PK\x03\x04\x00", "data: expected a dataset, found a zip file"),
    ],
)
def test_files_that_are_no_datasets(tmp_path: Path, content: str | bytes, problem: str) -> None:
    path = put(tmp_path, content)
    assert told(path) == [problem]
    assert told(path, skip_bad=True)[0].startswith("data")  # nothing that skipping could help


def test_rows_that_are_no_objects_at_all(tmp_path: Path) -> None:
    assert told(put(tmp_path, '["a", 2]')) == [
        "data[0]: expected an object, found a string",
        "data[1]: expected an object, found a number",
    ]


@pytest.mark.parametrize("indent", [None, 2])
def test_one_object_that_holds_the_rows_is_told_how_to_open(tmp_path: Path, indent: int | None) -> None:
    path = put(tmp_path, json.dumps({"version": 1, "data": [PLAIN]}, indent=indent))
    assert hint(path) == "take the rows out of it, for example: jq .data OLD > NEW"


def test_hints(tmp_path: Path) -> None:
    assert hint(put(tmp_path, '{"a": 1}')) == "rename the keys to instruction, input and output"
    nested = {"id": 1, "instances": [PLAIN]}
    assert hint(put(tmp_path, lines(nested, nested))) == "rename the keys to instruction, input and output"
    assert hint(put(tmp_path, json.dumps(PLAIN, indent=1))) == (
        "put each row on a line of its own, for example: jq -c . OLD > NEW"
    )
    assert hint(put(tmp_path, b"\x1f\x8b")) == "unpack it: gunzip"
    assert hint(put(tmp_path, lines(PLAIN, {**PLAIN, "system": "x"}))) == (
        "remove system from the rows to read them without it"
    )


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such dataset"):
        read_dataset(tmp_path / "none")
    with pytest.raises(UsageError, match="found a directory"):
        read_dataset(tmp_path)


@pytest.mark.parametrize("columns", [{"a": ["x"], "b": [1]}, {"instruction": ["x"], "b": [1]}])
def test_parquet_of_other_columns(tmp_path: Path, columns: dict[str, object]) -> None:
    path = put_table(tmp_path, columns).rename(tmp_path / "data")
    (problem,) = told(path)
    assert problem.startswith(f"data[0]: no form has the keys {', '.join(columns)}: expected instruction and output")


def test_parquet_with_a_column_twice(tmp_path: Path) -> None:
    table = pa.table([["a"], ["b"], ["c"]], names=["output", "instruction", "output"])
    pq.write_table(table, tmp_path / "data")
    assert told(tmp_path / "data") == ["data: expected each column once, found output twice"]


def test_parquet_with_bytes_that_are_no_text(tmp_path: Path) -> None:
    broken = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"]).buffers())
    pq.write_table(pa.table({"instruction": broken, "output": ["x"]}), tmp_path / "data")
    (problem,) = told(tmp_path / "data")
    assert problem.startswith("data: cannot read this parquet file: ")


def test_a_parquet_file_cut_anywhere_is_an_error(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    write_dataset(whole, [ADD, HI], "parquet")
    raw = whole.read_bytes()
    for size in range(4, len(raw)):
        (problem,) = told(put(tmp_path, raw[:size]))
        assert problem.startswith("data: cannot read this parquet file: ")
        assert "\n" not in problem


@pytest.mark.parametrize("text", [b"Say hi.", b"1 2"])
def test_a_parquet_page_with_a_flipped_bit_is_an_error(tmp_path: Path, text: bytes) -> None:
    whole = tmp_path / "whole"
    write_dataset(whole, [ADD, HI], "parquet")
    raw = bytearray(whole.read_bytes())
    raw[raw.index(text)] ^= 1
    (problem,) = told(put(tmp_path, bytes(raw)))
    assert problem.startswith("data: cannot read this parquet file: ")


@pytest.mark.parametrize("format_", ["alpaca", "jsonl", "messages", "text"])
def test_a_text_file_cut_anywhere_is_told_or_has_only_whole_rows(tmp_path: Path, format_: str) -> None:
    whole = tmp_path / "whole"
    write_dataset(whole, [ADD, HI], format_)
    raw = whole.read_bytes()
    for size in range(len(raw) - 1):
        path = put(tmp_path, raw[:size])
        if format_ != "alpaca" and raw[:size].strip() == raw.splitlines()[0]:
            assert read_dataset(path).examples == [ADD]
        else:
            assert all(problem.startswith("data:") for problem in told(path))
