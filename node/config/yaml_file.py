"""A YAML file as plain values, with the line of every key; a key written twice is an error."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from node.errors import ConfigurationError


class YamlFile:
    """The content of one YAML file and where each part of it stands.

    Raises
    ------
    ConfigurationError
        If the file cannot be read, is not YAML, or has a key twice in one mapping; the message names file and line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            text = path.read_text(encoding="utf-8")
            self._root = yaml.compose(text, Loader=yaml.SafeLoader)
            self.values: Any = yaml.safe_load(text) or {}
        except OSError as error:
            raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ConfigurationError(f"{path}: is not UTF-8 text") from error
        except yaml.YAMLError as error:
            raise ConfigurationError(f"{path}: is not YAML: {error}") from error
        self._refuse_repeated_keys(self._root, ())

    def line(self, key: Sequence[int | str]) -> int | None:
        """The line (from 1) on which `key` stands, or that of the nearest part of it that is there."""
        node, line = self._root, None
        for part in key:
            if isinstance(node, yaml.MappingNode):
                found = [(k, v) for k, v in node.value if k.value == str(part)]
                if not found:
                    continue  # a part of the type's name rather than of the file, such as the kind of a destination
                line, node = found[0][0].start_mark.line + 1, found[0][1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                line = node.start_mark.line + 1
            else:
                break
        return line

    def _refuse_repeated_keys(self, node: yaml.Node | None, key: tuple[str, ...]) -> None:
        if isinstance(node, yaml.SequenceNode):
            for item in node.value:
                self._refuse_repeated_keys(item, key)
        elif isinstance(node, yaml.MappingNode):
            seen: dict[str, int] = {}
            for name, value in node.value:
                line = name.start_mark.line + 1
                where = (*key, str(name.value))
                if name.value in seen:
                    raise ConfigurationError(
                        f"{self.path}:{line}: {'.'.join(where)}: the key is there already, on line {seen[name.value]}"
                    )
                seen[name.value] = line
                self._refuse_repeated_keys(value, where)
