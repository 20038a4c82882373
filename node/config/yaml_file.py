"""A YAML file as plain values, with the line of every key; what is wrong with it as YAML is told in plain words."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from node.config.check_result import CheckResult
from node.errors import ConfigurationError

_PASSWORD = re.compile(r"(?<=://)([^/@:\s]*):[^/@\s]*@")  # in a URL
_SECRET = re.compile(r"(?i)([\w ]*(?:token|password)\w*\s*:).*")
_NOT_CLOSED = re.compile("flow (sequence|mapping|node)|quoted scalar")
_INDENTATION = "keys of one section begin in the same column, each followed by a colon and a space"

# What PyYAML says, and what it means to somebody who writes a configuration; the first that fits counts.
_IN_WORDS = (
    ("alias", "a text that begins with * or & should be in quotes"),
    ("flow sequence", "the bracket [ is not closed; add ] where its content ends"),
    ("flow mapping", "the bracket { is not closed; add } where its content ends"),
    ("flow node", "a bracket is not closed; add ] or } where its content ends"),
    ("quoted scalar", "the quote is not closed; add one where the text ends"),
    (
        "mapping values are not allowed",
        f"the indentation or a colon does not fit: {_INDENTATION}; a text with a colon and a space should be in quotes",
    ),
    ("expected <block end>", f"the indentation or a colon does not fit: {_INDENTATION}"),
    ("could not find expected ':'", f"the indentation does not fit or a colon is missing: {_INDENTATION}"),
    ("single document", "begins a second document with ---; there should be one"),
    ("cannot start any token", "a text that begins with such a sign should be in quotes"),
    ("constructor for the tag", "a text that begins with ! should be in quotes"),
    ("special characters", "has a character that cannot be seen; write the line anew"),
    ("unhashable key", "a list cannot be a key; put the key in quotes"),
)


class _Loader(yaml.SafeLoader):
    """Takes yes, no, on and off for words, as YAML 1.2 does; in YAML 1.1 they are true and false."""


_TRUTH = "tag:yaml.org,2002:bool"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, fits) for tag, fits in resolvers if tag != _TRUTH]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_TRUTH, re.compile("(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


class YamlFile:
    """The content of one YAML file and where each part of it stands.

    A key is written with dots, as in ``receive.dimse.port``; an item of a list has its number for a key, from 0.

    Parameters
    ----------
    path
        Of the file.
    text
        What is taken for its content; None: what is in it.

    Raises
    ------
    ConfigurationError
        If the file cannot be read, is empty, is not YAML, or has a key twice in one mapping; the message names file
        and line.
    """

    def __init__(self, path: Path, text: str | None = None) -> None:
        self.path = path
        self.digest = ""
        """SHA-256 of the file as it was read."""
        self._text = self._read() if text is None else text
        try:
            self._root = yaml.compose(self._text, Loader=_Loader)
            self.values: Any = _values(self._text)
            repeated = list(self._repeated_keys(self._root, ""))
        except yaml.YAMLError as error:
            raise ConfigurationError(self._in_words(error)) from error
        except RecursionError as error:
            raise ConfigurationError(f"{path}: holds an alias (*) of something that the alias is in") from error
        except ValueError as error:
            raise ConfigurationError(f"{path}: holds no date that there is: {error}; put it in quotes") from error
        if self.values is None:
            raise ConfigurationError(f"{path}: is empty; should hold the configuration, beginning with 'node:'")
        if repeated:
            raise ConfigurationError("\n".join(repeated))

    @property
    def text(self) -> str:
        """The content as it is read: with one kind of line end."""
        return self._text

    @property
    def in_brackets(self) -> bool:
        """Whether the whole is one mapping in brackets, as JSON is."""
        return isinstance(self._root, yaml.MappingNode) and bool(self._root.flow_style)

    def line(self, key: str) -> int | None:
        """The line (from 1) on which `key` stands, or that of the nearest part of it that is there."""
        return self._found(key)[0]

    def place(self, key: str) -> str:
        """File and line of `key`, for the beginning of a message."""
        line = self.line(key)
        return f"{self.path}:{line}" if line else str(self.path)

    def shown(self, key: str) -> str | None:
        """What stands in the file as the value of `key`, for a message; None for a list or a section, or nothing.

        Texts are in quotes; the password in a URL is hidden.
        """
        _, node, rest = self._found(key)
        if not isinstance(node, yaml.ScalarNode) or rest or not node.value:
            return None if not isinstance(node, yaml.ScalarNode) or rest or not node.style else "''"
        if node.tag == "tag:yaml.org,2002:str":
            text = _PASSWORD.sub(r"\1:***@", node.value)
            return f"'{text}'" if text.isprintable() else repr(text)
        return self._text[node.start_mark.index : node.end_mark.index]

    def listed(self, results: Iterable[CheckResult]) -> list[str]:
        """Each result in one line, in the order of the file: where it stands, its key, and its sentence."""
        ordered = sorted(results, key=lambda result: self.line(result.key) or 0)
        return [f"{self.place(one.key)}: {one.key}: {one.sentence.removeprefix(f'{one.key}: ')}" for one in ordered]

    def _found(self, key: str) -> tuple[int | None, yaml.Node | None, str]:
        """Line and value of the nearest part of `key` that is there, and the part that is not."""
        node, line, rest = self._root, None, key
        while rest:
            if isinstance(node, yaml.MappingNode):  # keys may have dots themselves: the longest that fits is meant
                fitting = [pair for pair in node.value if rest == pair[0].value or rest.startswith(f"{pair[0].value}.")]
                if not fitting:
                    break
                name, node = max(fitting, key=lambda pair: len(pair[0].value))
                line, rest = name.start_mark.line + 1, rest[len(name.value) + 1 :]
            elif isinstance(node, yaml.SequenceNode):
                index, _, below = rest.partition(".")
                if not index.isdecimal() or int(index) >= len(node.value):
                    break
                node, rest = node.value[int(index)], below
                line = node.start_mark.line + 1
            else:
                break
        return line, node, rest

    def _read(self) -> str:
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise ConfigurationError(f"{self.path}: cannot be read: {error.strerror}") from error
        self.digest = hashlib.sha256(content).hexdigest()
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise ConfigurationError(
                f"{self.path}:{line}: is not UTF-8 text: it has the byte 0x{content[error.start]:02X}; "
                "save the file with the encoding UTF-8"
            ) from error
        return text.replace("\r\n", "\n").replace("\r", "\n")

    def _in_words(self, error: yaml.YAMLError) -> str:
        """Where the file stops being YAML, what stands there, and what would be right."""
        why = " ".join(str(getattr(error, name, None) or "") for name in ("context", "problem", "reason"))
        mark, context_mark = getattr(error, "problem_mark", None), getattr(error, "context_mark", None)
        number = self._text.count("\n", 0, mark.index if mark else getattr(error, "position", 0)) + 1
        if context_mark is not None and _NOT_CLOSED.search(why):  # not where the file ends
            number = context_mark.line + 1
        line = self._text.split("\n")[number - 1]
        if "\t" in line[: len(line) - len(line.lstrip())] or "'\\t'" in why:
            sentence = (
                "has a tab; YAML takes spaces only, for indentation and after a colon: replace each tab by spaces"
            )
        else:
            sentence = next((words for sign, words in _IN_WORDS if sign in why), f"is not YAML: {why.strip()}")
        return f"{self.path}:{number}: {_without_secret(line)}: {sentence}"

    def _repeated_keys(self, node: yaml.Node | None, above: str) -> Iterator[str]:
        if isinstance(node, yaml.SequenceNode):
            for item in node.value:
                yield from self._repeated_keys(item, above)
        elif isinstance(node, yaml.MappingNode):
            seen: dict[str, int] = {}
            for name, value in node.value:
                line, key = name.start_mark.line + 1, f"{above}{name.value}"
                if name.value in seen:
                    yield (
                        f"{self.path}:{line}: {key}: the key is there already, on line {seen[name.value]}; "
                        "keep one of the two"
                    )
                seen.setdefault(name.value, line)
                yield from self._repeated_keys(value, f"{key}.")


def _values(text: str) -> Any:
    """The content of a YAML text as plain values; None where it has none."""
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def plain_value(text: str) -> Any:
    """What a text means as the value of a key: where it is no YAML, such as ``*knee*``, itself.

    Raises
    ------
    ValueError
        If it begins a list, a mapping or a quoted text, and is none.
    """
    opens = text.lstrip()[:1]
    try:
        value = _values(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        if opens and opens in "[{'\"":
            raise ValueError("is not complete: a bracket or quote is not closed, or a comma missing") from error
        return text.strip()
    as_it_is = value is None or (isinstance(value, list | dict) and opens not in ("[", "{"))
    return text.strip() if as_it_is else value


def plain_text(value: object) -> str:
    """A value as `plain_value` reads it, in one line."""
    if isinstance(value, str) and value == value.strip() and value.isprintable() and value:
        try:
            if plain_value(value) == value:
                return value
        except ValueError:
            pass
    dumped: str = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=100_000, sort_keys=False)
    return dumped.removesuffix("\n...\n").strip()


def _without_secret(line: str) -> str:
    """A line as it may be shown."""
    return _PASSWORD.sub(r"\1:***@", _SECRET.sub(r"\1 ***", line.strip().replace("\t", " ")))
