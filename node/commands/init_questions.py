"""Questions on a terminal: each has a default that Enter takes, and a wrong answer is asked for again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from rich.console import Console
from rich.prompt import Confirm
from rich.text import Text

from node.commands.init_answers import WrongAnswer

T = TypeVar("T")


class Questions:
    """Asks somebody, or takes the defaults.

    Parameters
    ----------
    out
        Where the questions are shown.
    asking
        Whether anybody can be asked; else every question is answered by its default.
    """

    def __init__(self, out: Console, *, asking: bool) -> None:
        self._out = out
        self.asking = asking

    def explain(self, heading: str, *lines: str) -> None:
        """Say what the next question is about."""
        if self.asking:
            self._out.print()
            self._out.print(Text(heading, "bold"))
            for line in lines:
                self._out.print(Text(line, "dim"))

    def ask(self, question: str, default: str, read: Callable[[str], T]) -> T:
        """The answer to a question, read; asked again as long as `read` raises `WrongAnswer`.

        Parameters
        ----------
        default
            What Enter takes, and what is taken where nobody is asked.
        """
        while self.asking:
            try:
                answer = self._out.input(Text.assemble((f"{question} ", ""), (f"[{default}]", "cyan"), ": ")).strip()
                return read(answer or default)
            except WrongAnswer as error:
                self._out.print(Text(f"  {error}", "red"))
            except UnicodeDecodeError:
                self._out.print(Text("  cannot be read; should be text in the character set of the terminal", "red"))
        return read(default)

    def several(self, question: str, default: str, read: Callable[[str], T]) -> tuple[T, ...]:
        """The answers to a question that is asked until Enter alone says that there are no more."""
        found = [self.ask(question, default, read)]
        while self.asking:
            further = self.ask("one more", NO_MORE, lambda text: None if text == NO_MORE else read(text))
            if further is None:
                break
            found.append(further)
        return tuple(found)

    def confirm(self, question: str, *, default: bool) -> bool:
        """Yes or no."""
        return Confirm.ask(Text(question), console=self._out, default=default) if self.asking else default


NO_MORE = "no"
