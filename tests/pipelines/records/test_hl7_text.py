"""HL7 v2 as bytes: every character set of table 0211, as senders spell them, and files of messages."""

from __future__ import annotations

import pytest

from dicom_sr.errors import UnsuitableInput
from pipelines.records.hl7 import read_message
from pipelines.records.hl7_text import decoded, messages

MESSAGE = "MSH|^~\\&|R|H|N|X|20260601||ADT^A08|1|P|2.5||||||{sets}\rPID|1||4711^^^^MR||{name}^A||19610214|F\r"


def family_name(raw: bytes) -> str:
    return read_message(decoded(raw), {}).records[0].identity.family_name


@pytest.mark.parametrize(
    ("sets", "encoding", "name"),
    [
        ("ASCII", "ascii", "Doe"),
        ("8859/1", "latin-1", "Müller"),
        ("8859/1", "cp1252", "Žižek"),  # as Windows writes what it calls Latin 1
        ("8859/2", "iso8859-2", "Łucka"),
        ("8859/3", "iso8859-3", "Ĝiro"),
        ("8859/4", "iso8859-4", "Ģirts"),
        ("8859/5", "iso8859-5", "Иванова"),
        ("8859/6", "iso8859-6", "فاطمة"),
        ("8859/7", "iso8859-7", "Παπαδοπούλου"),
        ("8859/8", "iso8859-8", "כהן"),
        ("8859/9", "iso8859-9", "Şahin"),
        ("8859/15", "iso8859-15", "Œuvre"),
        ("ISO IR14", "shift_jis", "ﾔﾏﾀﾞ"),
        ("ISO IR87", "iso2022_jp", "山田"),
        ("ISO IR87", "euc_jp", "山田"),
        ("~ISO IR87", "iso2022_jp", "山田"),
        ("ISO IR14~ISO IR87", "iso2022_jp", "山田"),
        ("ISO IR159", "iso2022_jp_1", "丂山"),
        ("GB 18030-2000", "gb18030", "王"),
        ("KS X 1001", "euc_kr", "홍길동"),
        ("BIG-5", "big5", "許功蓋"),  # each of its second bytes is a backslash
        ("UNICODE", "utf-8", "Łucka"),
        ("UNICODE UTF-8", "utf-8", "Łucka"),
        ("UNICODE UTF-16", "utf-16", "Łucka"),
        ("UNICODE UTF-16", "utf-16-be", "Łucka"),
        ("UNICODE UTF-32", "utf-32", "Łucka"),
        ("", "utf-16-le", "Łucka"),
        ("", "utf-8-sig", "Łucka"),
        ("", "utf-8", "Łucka"),
        ("", "latin-1", "Müller"),
        # as they are found in place of the table's own
        ("UTF-8", "utf-8", "Łucka"),
        ("ISO-8859-2", "iso8859-2", "Łucka"),
        ("ISO_IR 100", "latin-1", "Müller"),
        ("windows-1251", "cp1251", "Иванова"),
        ("ASCII", "utf-8", "Łucka"),
    ],
)
def test_the_character_set_of_msh_18_is_believed(sets: str, encoding: str, name: str) -> None:
    assert family_name(MESSAGE.format(sets=sets, name=name).encode(encoding)) == name


def test_latin_and_katakana_come_in_one_byte_beside_kanji_in_two() -> None:
    head, tail = MESSAGE.format(sets="ISO IR14~ISO IR87", name="|").encode().split(b"||^A")
    assert family_name(head + b"|\x1b$B;3ED\x1b(J\xd4\xcf^A" + tail) == "山田ﾔﾏ"


def test_hl7s_own_escapes_switch_as_iso_2022_does() -> None:
    raw = MESSAGE.format(sets="ASCII~ISO IR87", name=r"\M2442\;3ED\C2842\ ").encode()
    assert family_name(raw) == "山田"


@pytest.mark.parametrize(
    ("sets", "name", "why"),
    [
        ("KLINGON", b"M\xfcller", "MSH-18 names a character set that is not known"),
        ("8859/12", b"M\xfcller", "MSH-18 names a character set that is not known"),
        ("8859/17", b"M\xfcller", "MSH-18 names a character set that is not known"),
        ("windows-1259", b"M\xfcller", "MSH-18 names a character set that is not known"),
        ("CNS 11643-1992", b"\xc4\xe3", "CNS 11643, which cannot be read; send BIG-5 or UNICODE UTF-8"),
        ("UNICODE UTF-8", b"M\xfcller", "not in the character set that MSH-18 names"),
        ("ISO IR87", b"\x1b$Z;3ED", "an escape to a character set that is not known"),
    ],
)
def test_a_set_that_is_not_known_or_not_kept_to_is_told_without_a_value(sets: str, name: bytes, why: str) -> None:
    with pytest.raises(UnsuitableInput, match=why) as refused:
        decoded(MESSAGE.format(sets=sets, name="@").encode().replace(b"@", name))
    assert "KLINGON" not in str(refused.value)


def test_what_is_all_ascii_needs_no_character_set() -> None:
    assert family_name(MESSAGE.format(sets="KLINGON", name="Doe").encode()) == "Doe"


def test_hexadecimal_characters_and_separators_in_texts_are_resolved_once() -> None:
    assert family_name(MESSAGE.format(sets="", name=r"M\XFC\ller\E\F\E\ \T\ Co").encode()) == r"Müller\F\ & Co"


def test_a_file_may_hold_a_batch_with_any_line_ends_and_framing() -> None:
    one = MESSAGE.format(sets="", name="Doe")
    batch = "FHS|^~\\&|A\r\nBHS|^~\\&|A\n" + "\x0b" + one + "\x1c\r" + one.replace("\r", "\n") + "BTS|2\rFTS|1\r"
    assert [len(message.split("\r")) for message in messages(batch)] == [3, 3]
    assert next(messages(batch)) == one


def test_the_character_set_of_a_batch_is_that_of_its_messages() -> None:
    raw = ("BHS|^~\\&|A\r" + MESSAGE.format(sets="8859/2", name="Łucka")).encode("iso8859-2")
    (message,) = messages(decoded(raw))
    assert read_message(message, {}).records[0].identity.family_name == "Łucka"
