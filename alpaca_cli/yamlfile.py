"""YAML text to a checked pydantic model, or every mistake in it at once, each with `path:line:col`.

PyYAML's nodes carry marks and pydantic's errors carry the way to the value (`loc`); walking the one along the other
gives the place.  Duplicate keys, which YAML forbids and PyYAML lets pass, are mistakes too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import count
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from alpaca_cli.data.files import read_text
from alpaca_cli.data.jsonl import LONE_SURROGATE, kind_of
from alpaca_cli.errors import Problem, RecipeError, UsageError

Model = TypeVar("Model", bound="Settings")

DEEPEST, MOST_VALUES = 100, 100_000  # aliases counted as often as they are named, so that a file cannot blow up
_TAG = "tag:yaml.org,2002:"


class Settings(BaseModel):
    """What every checked part of a YAML file is: frozen, without unknown keys, each field documented with its unit."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class _Loader(yaml.SafeLoader):
    """YAML of the values that JSON has, so that whatever is read can be sent to a server and written again."""

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None:
            _check_size(node, (), count(1))
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != f"{_TAG}merge":
                key.tag = f"{_TAG}str"  # keys are texts as they stand: PyYAML would take `on` for True
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
            if isinstance(value, float) and not isfinite(value):
                raise ValueError(f"{value} is not a finite number")
            if isinstance(value, str) and LONE_SURROGATE.search(value):
                raise ValueError("found half a character (a lone surrogate)")
        except ValueError as error:  # also 0b_ and an integer of 5,000 digits, of which PyYAML tells no place
            problem = str(error).partition(";")[0]
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from None
        return value


class _Dumper(yaml.SafeDumper):
    """Writes what `_Loader` reads as the same."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        # In double quotes all is escaped; else PyYAML would write a line separator that it reads as a blank.
        return self.represent_scalar(f"{_TAG}str", data, style=None if data.isprintable() else '"')


_Dumper.add_representer(str, _Dumper.represent_str)
_Loader.yaml_constructors = {
    tag: make
    for tag, make in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.removeprefix(_TAG) in ("null", "bool", "int", "float", "str", "seq", "map")
}
_Loader.yaml_implicit_resolvers = {  # a date stays a text
    first: [(tag, pattern) for tag, pattern in pairs if tag != f"{_TAG}timestamp"]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_EXPONENT = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+$")
_Loader.add_implicit_resolver(f"{_TAG}float", _EXPONENT, list("-+.0123456789"))  # PyYAML takes 2e-5 for a text
_Dumper.add_implicit_resolver(f"{_TAG}float", _EXPONENT, list("-+.0123456789"))


class Document:
    """A parsed YAML file: plain `data`, and where in the file each value stands."""

    def __init__(self, path: Path, data: dict[str, Any], node: yaml.Node | None) -> None:
        self.path = path
        self.data = data
        self._node = node
        self._overridden: dict[tuple[str, ...], str] = {}

    def override(self, assignments: Sequence[str]) -> None:
        """Apply `key.path=value` texts, values in YAML.  Raises UsageError for one that is not of this form."""
        for assignment in assignments:
            key, equals, text = assignment.partition("=")
            keys = tuple(key.strip().split("."))
            if not equals or not all(keys):
                raise UsageError(
                    "expected KEY=VALUE", where=f"--set {assignment}", hint="for example: --set teacher.max_tokens=2048"
                )
            try:
                value = yaml.load(text, _Loader)
            except (yaml.YAMLError, RecursionError):
                value = text
            self.put(keys, value, source=f"--set {key.strip()}")

    def put(self, keys: tuple[str, ...], value: object, *, source: str) -> None:
        """Set one value; `source` (a flag) is where later mistakes in it are reported.

        Raises UsageError for a text that the shell did not give as UTF-8.
        """
        if isinstance(value, str) and LONE_SURROGATE.search(value):
            raise UsageError("invalid UTF-8", where=source)
        place = self.data
        for depth, key in enumerate(keys[:-1], 1):
            inner = place.get(key)
            if not isinstance(inner, dict):
                inner = place[key] = {}
                self._overridden[keys[:depth]] = source  # not what the file says
            place = inner
        place[keys[-1]] = value
        self._overridden[keys] = source

    def check(self, model: type[Model]) -> Model:
        """The model that `data` describes.  Raises RecipeError that lists every mistake, in the order of the file."""
        try:
            # As JSON, in which a list may be a tuple, and strictly, so that `yes` is no 1 and "1" is no number.
            return model.model_validate_json(json.dumps(self.data), strict=True)
        except ValidationError as error:
            found = [self._problem(model, details) for details in error.errors(include_url=False)]
        raise RecipeError.of([problem for _, problem in sorted(found, key=lambda pair: pair[0])])

    def place(self, keys: Sequence[str | int]) -> str:
        """Where the value under `keys` was given: `path:line:col`, or the flag that set it."""
        return self._locate(tuple(keys), at_key=False)[1]

    def _problem(self, model: type[BaseModel], details: Mapping[str, Any]) -> tuple[tuple[int, int], Problem]:
        loc = self._steps(details["loc"])
        kind, name = details["type"], ".".join(str(part) for part in loc)
        if kind == "extra_forbidden":
            known = _fields_at(model, loc[:-1])
            close = get_close_matches(str(loc[-1]), known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known keys here: {', '.join(known)}"
            message = f"{name}: unknown key"
        elif kind == "missing":
            message, hint, loc = f"{name}: required, and not given", None, loc[:-1]
        else:
            words = str(details["msg"]).removeprefix("Value error, ")
            message, hint = f"{name}: {words[:1].lower()}{words[1:]}" if name else words, None
            # Our own checks (value_error) say themselves what they found, and what must not be shown: it may be a key.
            if kind != "value_error" and isinstance(details.get("input"), str | int | float | bool):
                found = repr(details["input"])
                message += f", found {found if len(found) <= 80 else f'{found[:77]}...'}"
        order, where = self._locate(loc, at_key=kind == "extra_forbidden")
        return order, Problem(message, where, hint)

    def _steps(self, loc: Sequence[str | int]) -> tuple[str | int, ...]:
        """The way to a value as the file has it: pydantic puts steps between, such as the tag of a union's member."""
        steps: list[str | int] = []
        value: Any = self.data
        for number, part in enumerate(loc, 1):
            if isinstance(value, dict) and (part in value or number == len(loc)):  # the last may not be there
                value = value.get(part)
                steps.append(part)
            elif isinstance(value, list) and isinstance(part, int) and part < len(value):
                value = value[part]
                steps.append(part)
        return tuple(steps)

    def _locate(self, loc: tuple[str | int, ...], *, at_key: bool) -> tuple[tuple[int, int], str]:
        names = tuple(str(part) for part in loc)
        for length in range(len(names), 0, -1):
            if source := self._overridden.get(names[:length]):
                return (1 << 30, 0), source
        within = [source for keys, source in self._overridden.items() if names and keys[: len(names)] == names]
        if within:  # several values do not go together, and a flag gave one of them
            return (1 << 30, 0), within[-1]
        node = self._node
        mark = node.start_mark if node is not None else None
        for depth, part in enumerate(loc):
            if isinstance(node, yaml.MappingNode):
                pairs = [(key, value) for key, value in node.value if key.value == str(part)]
                if not pairs:
                    break  # not there: the parent is the place
                pair = pairs[-1]  # before it stands what `<<` put in, which it overrides
                node = pair[1]
                last = depth == len(loc) - 1
                mark = (
                    pair[0].start_mark if last and (at_key or isinstance(node, yaml.MappingNode)) else node.start_mark
                )
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                mark = node.start_mark
        return (mark.line, mark.column) if mark is not None else (0, 0), _place(self.path, mark)


def read(path: Path) -> Document:
    """Parse the YAML mapping in a file.  Raises RecipeError with line and column if it is not one."""
    text = read_text(path, what="YAML file")
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is not None and (problems := list(_duplicate_keys(node, path))):
            raise RecipeError.of(problems)
        data = loader.construct_document(node) if node is not None else {}
    except yaml.MarkedYAMLError as error:
        words = str(error.problem or error.context).removeprefix("but ")
        where = _place(path, error.problem_mark or error.context_mark)
        raise RecipeError(f"invalid YAML: {words}", where=where) from None
    except yaml.reader.ReaderError as error:
        line, column = text.count("\n", 0, error.position) + 1, error.position - text.rfind("\n", 0, error.position)
        message = f"invalid YAML: character U+{error.character:04X} is not allowed"
        raise RecipeError(message, where=f"{path}:{line}:{column}") from None
    except RecursionError:
        raise RecipeError("invalid YAML: nested too deeply", where=str(path)) from None
    if not isinstance(data, dict):
        where = _place(path, node.start_mark if node is not None else None)
        raise RecipeError(f"expected a mapping of keys to values, found {kind_of(data)}", where=where)
    return Document(path, data, node)


def dump(settings: Settings) -> str:
    """The YAML text of a model, every field written out, in the order of its definition."""
    return yaml.dump(settings.model_dump(mode="json"), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def _check_size(node: yaml.Node, above: tuple[int, ...], counter: Iterator[int]) -> None:
    """Refuse what aliases can do: stand inside what they name, or make a few lines into no end of values."""
    if id(node) in above:
        raise yaml.MarkedYAMLError(problem="found an alias inside what it names", problem_mark=node.start_mark)
    if len(above) >= DEEPEST:
        raise yaml.MarkedYAMLError(problem="nested too deeply", problem_mark=node.start_mark)
    if next(counter) > MOST_VALUES:
        raise yaml.MarkedYAMLError(problem=f"found more than {MOST_VALUES:,} values", problem_mark=node.start_mark)
    if isinstance(node, yaml.CollectionNode):
        for value in node.value:
            for inner in value if isinstance(value, tuple) else (value,):
                _check_size(inner, (*above, id(node)), counter)


def _duplicate_keys(node: yaml.Node, path: Path) -> Iterator[Problem]:
    if isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in first:
                    message = f"{key.value}: given twice, first on line {first[key.value]}"
                    yield Problem(message, _place(path, key.start_mark))
                first.setdefault(key.value, key.start_mark.line + 1)
            yield from _duplicate_keys(value, path)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _duplicate_keys(value, path)


def _place(path: Path, mark: yaml.error.Mark | None) -> str:
    return str(path) if mark is None else f"{path}:{mark.line + 1}:{mark.column + 1}"


def _fields_at(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """The keys that are known at `loc` inside `model`, following models through unions, lists and dicts."""
    models = [model]
    for part in loc:
        fields = [each.model_fields[str(part)] for each in models if str(part) in each.model_fields]
        models = [inner for field in fields for inner in _models_in(field.annotation)] or models
    return list(dict.fromkeys(name for each in models for name in each.model_fields))


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if get_origin(annotation) is None and isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [inner for part in get_args(annotation) for inner in _models_in(part)]
