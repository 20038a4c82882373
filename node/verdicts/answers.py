"""The fields of the page's form -> what the reader says, or what is wrong with it, in sentences for the reader."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydicom.sr.coding import Code

from dicom_sr.assessment import Answer, Assessment, Change
from node.verdicts.questions import REASONS, CodeAsked, FindingAsked, NumberAsked, Questions

LONGEST_NAME, LONGEST_COMMENT = 64, 1000  # characters: of a person's name in DICOM (PS3.5 6.2), and of ours
NAME, WHOLE, WHOLE_REASON, COMMENT = "name", "whole", "whole-reason", "comment"


class FormMistakes(ValueError):
    """What a reader has to put right, one sentence each; they quote no name and no comment."""

    def __init__(self, sentences: list[str]) -> None:
        super().__init__("; ".join(sentences))
        self.sentences = tuple(sentences)


def answer_field(number: int) -> str:
    """Name of the field with the answer to a finding."""
    return f"answer-{number}"


def reason_field(number: int) -> str:
    """Name of the field with the reason for it."""
    return f"reason-{number}"


def value_field(number: int, value: int) -> str:
    """Name of the field with a number of a finding."""
    return f"value-{number}-{value}"


def code_field(number: int, code: int) -> str:
    """Name of the field with a coded value of a finding."""
    return f"code-{number}-{code}"


def reader_in(form: Mapping[str, str]) -> str:
    """The reader's name as typed.

    Raises
    ------
    FormMistakes
        If there is none, or none that a report can hold.
    """
    name = " ".join(form.get(NAME, "").split())
    if not name:
        raise FormMistakes(["Your name is missing: the verdict says whose it is."])
    if len(name) > LONGEST_NAME or any(not one.isprintable() or one in "\\=" for one in name):
        raise FormMistakes([f"Your name has more than {LONGEST_NAME} characters, or one that a report cannot hold."])
    return name


def answers_in(form: Mapping[str, str], asked: Questions) -> tuple[Assessment, ...]:
    """What the reader says: the findings that have an answer, and the result as a whole.

    A changed value says that the finding is modified, so that nothing else needs to be chosen.

    Raises
    ------
    FormMistakes
        If it does not fit together, or nothing is said.
    """
    reading = _Reading(form)
    said = [one for number, finding in enumerate(asked.findings) if (one := reading.finding(number, finding))]
    whole = reading.whole(said)
    if not said and whole is None and not reading.mistakes:
        reading.mistakes.append("Nothing is said yet: answer for the result as a whole, or for one of its findings.")
    if reading.mistakes:
        raise FormMistakes(reading.mistakes)
    return (*said, *([] if whole is None else [whole]))


class _Reading:
    """Reads the fields, and collects what is wrong with them."""

    def __init__(self, form: Mapping[str, str]) -> None:
        self._form = form
        self.mistakes: list[str] = []

    def finding(self, number: int, asked: FindingAsked) -> Assessment | None:
        """What is said about a finding; None where nothing is."""
        answer, reason = self._answer(answer_field(number)), self._reason(reason_field(number))
        changes = tuple(self._changes(number, asked))
        if changes and answer is None:
            answer = Answer.MODIFY
        if changes and answer is not Answer.MODIFY:
            self.mistakes.append(f"{asked.tracking_id} has a new value, and its answer is another than modified.")
        if answer is None:
            if reason is not None:
                self.mistakes.append(f"{asked.tracking_id} has a reason and no answer.")
            return None
        if answer is Answer.MODIFY and not changes and (asked.numbers or asked.codes) and reason is None:
            self.mistakes.append(f"{asked.tracking_id} is modified, and has neither a new value nor a reason.")
        return Assessment(
            answer,
            asked.tracking_uid,
            tracking_id=asked.tracking_id,
            finding=asked.finding,
            site=asked.site,
            reason=None if answer is Answer.ACCEPT else reason,
            changes=changes,
        )

    def whole(self, said: list[Assessment]) -> Assessment | None:
        """What is said about the result as a whole."""
        answer, reason = self._answer(WHOLE), self._reason(WHOLE_REASON)
        comment = "\n".join(line.strip() for line in self._form.get(COMMENT, "").strip().splitlines())
        if len(comment) > LONGEST_COMMENT:
            self.mistakes.append(f"The comment has more than {LONGEST_COMMENT} characters.")
        if answer is None:
            if comment or reason is not None:
                self.mistakes.append("The comment or reason needs an answer for the result as a whole.")
            return None
        if answer is Answer.ACCEPT and any(one.answer is not Answer.ACCEPT for one in said):
            self.mistakes.append("The result is accepted as it is, and a finding of it is not.")
        return Assessment(answer, reason=None if answer is Answer.ACCEPT else reason, comment=comment)

    def _answer(self, field: str) -> Answer | None:
        text = self._form.get(field, "")
        if text and text not in set(Answer):
            self.mistakes.append("An answer is none of those on the page.")
            return None
        return Answer(text) if text else None

    def _reason(self, field: str) -> Code | None:
        text = self._form.get(field, "")
        found = next((one for one in REASONS if one.value == text), None)
        if text and found is None:
            self.mistakes.append("A reason is none of those on the page.")
        return found

    def _changes(self, number: int, asked: FindingAsked) -> Iterator[Change]:
        for place, one in enumerate(asked.numbers):
            if (change := self._number(asked, one, self._form.get(value_field(number, place)))) is not None:
                yield change
        for place, code in enumerate(asked.codes):
            if (changed := self._code(code, self._form.get(code_field(number, place)))) is not None:
                yield changed

    def _number(self, asked: FindingAsked, one: NumberAsked, text: str | None) -> Change | None:
        if text is None or text.strip() == one.shown:
            return None
        where = f"{asked.tracking_id}, {one.name.meaning}"
        try:
            value = float(text.strip().replace(",", "."))
        except ValueError:
            self.mistakes.append(f"{where}: what is typed is no number.")
            return None
        highest = one.highest
        if not abs(value) < 1e9 or (highest is not None and not 0 <= value <= highest):
            scale = "" if highest is None else f" from 0 to {highest:g}"
            self.mistakes.append(f"{where}: what is typed is no number{scale}.")
            return None
        return None if value == float(one.shown) else Change(one.name, one.value, value, one.unit)

    def _code(self, asked: CodeAsked, text: str | None) -> Change | None:
        if text is None or text == asked.value.value:
            return None
        found = next((one for one in asked.choices if one.value == text), None)
        if found is None:
            self.mistakes.append(f"{asked.name.meaning}: what is chosen is none of those on the page.")
            return None
        return Change(asked.name, asked.value, found)
