"""YAML text to a checked pydantic model, or every mistake in it at once, each with `path:line:col`.

PyYAML's nodes carry marks and pydantic's errors carry the way to the value (`loc`); walking the one along the other
gives the place.  Duplicate keys, which YAML forbids and PyYAML lets pass, are mistakes too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from alpaca_cli.data.files import read_text
from alpaca_cli.errors import Problem, RecipeError, UsageError

Model = TypeVar("Model", bound="Settings")


class Settings(BaseModel):
    """What every checked part of a YAML file is: frozen, without unknown keys, each field documented with its unit."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


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
                value = yaml.safe_load(text)
            except yaml.YAMLError:
                value = text
            self.put(keys, value, source=f"--set {key.strip()}")

    def put(self, keys: tuple[str, ...], value: object, *, source: str) -> None:
        """Set one value; `source` (a flag) is where later mistakes in it are reported."""
        place = self.data
        for key in keys[:-1]:
            inner = place.get(key)
            if not isinstance(inner, dict):
                inner = place[key] = {}
            place = inner
        place[keys[-1]] = value
        self._overridden[keys] = source

    def check(self, model: type[Model]) -> Model:
        """The model that `data` describes.  Raises RecipeError that lists every mistake, in the order of the file."""
        try:
            return model.model_validate(self.data)
        except ValidationError as error:
            found = [self._problem(model, details) for details in error.errors(include_url=False)]
        raise RecipeError.of([problem for _, problem in sorted(found, key=lambda pair: pair[0])])

    def place(self, keys: Sequence[str | int]) -> str:
        """Where the value under `keys` was given: `path:line:col`, or the flag that set it."""
        return self._locate(tuple(keys), at_key=False)[1]

    def _problem(self, model: type[BaseModel], details: Mapping[str, Any]) -> tuple[tuple[int, int], Problem]:
        loc: tuple[str | int, ...] = tuple(details["loc"])
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
            if isinstance(details.get("input"), str | int | float | bool):
                message += f", found {details['input']!r}"
        order, where = self._locate(loc, at_key=kind == "extra_forbidden")
        return order, Problem(message, where, hint)

    def _locate(self, loc: tuple[str | int, ...], *, at_key: bool) -> tuple[tuple[int, int], str]:
        names = tuple(str(part) for part in loc)
        for length in range(len(names), 0, -1):
            if source := self._overridden.get(names[:length]):
                return (1 << 30, 0), source
        node = self._node
        mark = node.start_mark if node is not None else None
        for depth, part in enumerate(loc):
            if isinstance(node, yaml.MappingNode):
                pair = next(((key, value) for key, value in node.value if key.value == str(part)), None)
                if pair is None:
                    break  # a step that pydantic inserted, or a key that is not there: the parent is the place
                node = pair[1]
                last = depth == len(loc) - 1
                mark = (
                    pair[0].start_mark if last and (at_key or isinstance(node, yaml.MappingNode)) else node.start_mark
                )
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                mark = node.start_mark
        if mark is None:
            return (0, 0), str(self.path)
        return (mark.line, mark.column), f"{self.path}:{mark.line + 1}:{mark.column + 1}"


def read(path: Path) -> Document:
    """Parse the YAML mapping in a file.  Raises RecipeError with line and column if it is not one."""
    text = read_text(path, what="YAML file")
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is not None and (problems := list(_duplicate_keys(node, path))):
            raise RecipeError.of(problems)
        data = loader.construct_document(node) if node is not None else {}
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise RecipeError(f"invalid YAML: {error.problem or error.context}", where=where) from None
    except (yaml.YAMLError, ValueError) as error:
        raise RecipeError(f"invalid YAML: {str(error).splitlines()[0]}", where=str(path)) from None
    except RecursionError:
        raise RecipeError("invalid YAML: nested too deeply", where=str(path)) from None
    finally:
        loader.dispose()
    if not isinstance(data, dict):
        raise RecipeError(f"expected a mapping of keys to values, found {type(data).__name__}", where=f"{path}:1:1")
    return Document(path, data, node)


def dump(settings: Settings) -> str:
    """The YAML text of a model, every field written out, in the order of its definition."""
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)


def _duplicate_keys(node: yaml.Node, path: Path, seen: frozenset[int] = frozenset()) -> Iterator[Problem]:
    if id(node) in seen:  # an alias to a parent: a ring, refused when the value is made
        return
    seen |= {id(node)}
    if isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in first:
                    where = f"{path}:{key.start_mark.line + 1}:{key.start_mark.column + 1}"
                    yield Problem(f"{key.value}: given twice, first on line {first[key.value]}", where)
                first.setdefault(key.value, key.start_mark.line + 1)
            yield from _duplicate_keys(value, path, seen)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _duplicate_keys(value, path, seen)


def _fields_at(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """The keys that are known at `loc` inside `model`, following models through Optional, list and dict."""
    current: type[BaseModel] = model
    for part in loc:
        field = current.model_fields.get(str(part))
        if field is not None and (inner := _model_in(field.annotation)) is not None:
            current = inner
    return list(current.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((inner for part in get_args(annotation) if (inner := _model_in(part)) is not None), None)
