"""JSON and JSON Lines: every mistake with its place, all at once, and no text is lost on the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_cli.data.jsonl import dumps, iter_lines, kind_of, parse_json, write_json, write_jsonl
from alpaca_cli.errors import DataError, Problem

ANY_TEXT = st.text(st.characters(codec=None, categories=None), max_size=20)


def read_jsonl(path: Path) -> list[tuple[int, object]]:
    """Every line with its number, as the readers of this project go through a file."""
    rows: list[tuple[int, object]] = []
    problems: list[Problem] = []
    for number, line in iter_lines(path.read_bytes(), path):
        try:
            rows.append((number, parse_json(line, path, first_line=number)))
        except DataError as error:
            problems.extend(error.problems)
    if problems:
        raise DataError.of(problems)
    return rows


def told(content: str | bytes, tmp_path: Path) -> list[str]:
    path = tmp_path / "f"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError) as found:
        read_jsonl(path)
    return [str(problem).replace(str(path), "f") for problem in found.value.problems]


def test_all_bad_lines_are_told_at_once(tmp_path: Path) -> None:
    content = '{"a": 1}\n{"a": }\n\n[1, 2\n{"a": 1} x\n"ok"\n{\'a\': 1}\n'

    assert told(content, tmp_path) == [
        "f:2:7: invalid JSON: expecting value",
        "f:4:6: invalid JSON: expecting ',' delimiter",
        "f:5:10: invalid JSON: extra data",
        "f:7:2: invalid JSON: expecting property name enclosed in double quotes",
    ]


def test_columns_count_characters(tmp_path: Path) -> None:
    assert told('["é🙂", x]\n', tmp_path) == ["f:1:8: invalid JSON: expecting value"]


def test_a_json_text_of_several_lines_is_told_by_its_own_lines() -> None:
    with pytest.raises(DataError) as found:
        parse_json('{\n  "a": 1,\n  "b": oops\n}', Path("f"), first_line=10)

    assert str(found.value) == "f:12:8: invalid JSON: expecting value"


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_what_only_python_takes_for_a_number_is_refused(word: str, tmp_path: Path) -> None:
    assert told(f'{{"a": {word}}}\n', tmp_path) == [f"f:1: invalid JSON: {word} is not JSON"]


def test_nesting_without_end_is_told_and_not_a_crash(tmp_path: Path) -> None:
    assert told("[" * 200_000 + "\n", tmp_path) == ["f:1: invalid JSON: nested too deeply"]
    assert told('{"a":' * 200_000, tmp_path) == ["f:1: invalid JSON: nested too deeply"]


def test_a_number_of_endless_digits_is_told(tmp_path: Path) -> None:
    (message,) = told("1" * 5_000, tmp_path)

    assert message.startswith("f:1: invalid JSON: ")


def test_invalid_utf_8_is_told_by_line_and_column(tmp_path: Path) -> None:
    assert told(b'"ok"\n"caf\xe9"\n', tmp_path) == ["f:2:5: invalid UTF-8: byte 0xe9"]


def test_a_second_byte_order_mark_is_told_where_it_is(tmp_path: Path) -> None:
    (message,) = told(b'\xef\xbb\xbf"ok"\n\xef\xbb\xbf"joined with cat"\n', tmp_path)

    assert message.startswith("f:2:1: invalid JSON: ")


def test_lines_end_at_newlines_only(tmp_path: Path) -> None:
    text = "a\u2028b\u2029c\x85d\x0be\x0cf"
    path = tmp_path / "f"
    write_jsonl(path, [text, {"x": text}])

    assert read_jsonl(path) == [(1, text), (2, {"x": text})]
    assert path.read_bytes().count(b"\n") == 2


def test_blank_lines_are_passed_over_and_counted() -> None:
    assert list(iter_lines(b"\n1\r\n   \n\t\n2", Path())) == [(2, "1\r"), (5, "2")]
    assert list(iter_lines(b"", Path())) == []
    assert list(iter_lines(b"\xef\xbb\xbf1\n", Path())) == [(1, "1")]


def test_windows_line_ends_and_a_missing_last_newline_are_fine(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b'{"a": 1}\r\n{"a": 2}')

    assert read_jsonl(tmp_path / "f") == [(1, {"a": 1}), (2, {"a": 2})]


@pytest.mark.parametrize("indent", [None, 2])
def test_lone_surrogates_survive_and_leave_other_text_readable(indent: int | None) -> None:
    value = {"half \ud83d": ["Grüße \ude00 🙂", "\ud800\ud800", "\\ud800"]}
    text = dumps(value, indent=indent)

    assert json.loads(text.encode("utf-8")) == value
    assert "Grüße \\ude00 🙂" in text


@settings(deadline=None)  # a busy machine is no mistake
@given(st.recursive(st.none() | st.booleans() | st.integers() | ANY_TEXT, lambda inner: st.lists(inner, max_size=3)))
def test_any_value_comes_back_as_json_would_have_it(value: Any) -> None:
    """Two halves of one character side by side become that character, in JSON's escapes as in ours."""
    raw = f"{dumps(value)}\n".encode()

    assert json.loads(raw) == json.loads(json.dumps(value))
    assert raw.count(b"\n") == 1


def test_write_json_is_indented_and_ends_with_a_newline(tmp_path: Path) -> None:
    write_json(tmp_path / "f", {"ä": [1]})

    assert (tmp_path / "f").read_text(encoding="utf-8") == '{\n  "ä": [\n    1\n  ]\n}\n'


def test_a_value_that_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_jsonl(path, [1])
    with pytest.raises(TypeError):
        write_jsonl(path, [2, object()])

    assert path.read_text() == "1\n"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "null"), (True, "a boolean"), (0, "a number"), (0.5, "a number"), ("", "a string"), ([], "a list"),
        ({}, "an object"), (b"", "bytes"),
    ],
)  # fmt: skip
def test_kind_of_names_the_json_type_with_its_article(value: object, name: str) -> None:
    assert kind_of(value) == name
