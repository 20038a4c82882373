"""HL7 v2 as text: bytes decoded as MSH-18 says, cut into messages, segments, fields and components.

One way for all ways in: what arrives by MLLP and what lies in a file is read alike.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.charset import CODES_TO_ENCODINGS

from dicom_sr.errors import UnsuitableInput

ESCAPE = b"\x1b"
KNOWN = (
    "ASCII, 8859/1 to 8859/16, ISO IR14, ISO IR87, ISO IR159, GB 18030-2000, KS X 1001, BIG-5, UNICODE UTF-8, -16, -32"
)
# Byte order marks, and what "MSH" looks like without one; UTF-32 before UTF-16, whose mark it begins with.
_WIDE = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    ("MSH".encode("utf-32-le"), "utf-32-le"),
    ("MSH".encode("utf-32-be"), "utf-32-be"),
    ("MSH".encode("utf-16-le"), "utf-16-le"),
    ("MSH".encode("utf-16-be"), "utf-16-be"),
)
# Table 0211 without blanks and punctuation, and what is found in its place. Supersets that vendors use come in place of
# the standard's own sets, and where one byte does not fit the first, the next is tried.
_CODECS: dict[str, tuple[str, ...]] = {
    "": ("utf-8", "cp1252", "latin-1"),  # often left empty
    "ASCII": ("ascii", "utf-8", "cp1252", "latin-1"),  # and what has other bytes nevertheless is not ASCII
    "88591": ("cp1252", "latin-1"),  # Windows calls its own set so, which differs where Latin 1 has control characters
    "ISOIR14": ("shift_jis", "cp932"),
    "ISOIR87": ("euc_jp", "cp932"),
    "ISOIR159": ("euc_jp",),
    "GB180302000": ("gb18030",),
    "KSX1001": ("cp949",),
    "BIG5": ("cp950", "big5hkscs"),
    "UNICODE": ("utf-8",),  # two or four bytes a character are known by how they begin
    "UNICODEUTF8": ("utf-8",),
    "UNICODEUTF16": ("utf-8",),
    "UNICODEUTF32": ("utf-8",),
}
_ALIASES = {
    "USASCII": "ASCII",
    "ISOIR6": "ASCII",
    "LATIN1": "88591",
    "ISOIR100": "88591",
    "ISOIR101": "88592",
    "ISOIR109": "88593",
    "ISOIR110": "88594",
    "ISOIR144": "88595",
    "ISOIR127": "88596",
    "ISOIR126": "88597",
    "ISOIR138": "88598",
    "ISOIR148": "88599",
    "ISOIR203": "885915",
    "ISOIR13": "ISOIR14",
    "JISX0201": "ISOIR14",
    "JISX0208": "ISOIR87",
    "JISX0212": "ISOIR159",
    "ISOIR149": "KSX1001",
    "KSC5601": "KSX1001",
    "EUCKR": "KSX1001",
    "GB18030": "GB180302000",
    "GBK": "GB180302000",
    "GB2312": "GB180302000",
    "ISOIR192": "UNICODEUTF8",
    "UTF8": "UNICODEUTF8",
    "UTF16": "UNICODEUTF16",
    "UTF32": "UNICODEUTF32",
}


def decoded(raw: bytes) -> str:
    """The text of a message, or of a file of messages, in the character set that MSH-18 names.

    Without one it is read as UTF-8, or as Windows' Latin 1 where it is not that. A message that is all ASCII needs
    none. Further sets of MSH-18 are switched to by ISO 2022 escapes.

    Raises
    ------
    UnsuitableInput
        If the character set is not known, or the message is not in it.
    """
    raw = raw.lstrip(b"\x0b\r\n \t")
    for mark, encoding in _WIDE:
        if raw.startswith(mark):
            return _strictly(raw, encoding, "it begins like UTF-16 or UTF-32 and is not").lstrip("\ufeff")
    raw = raw.removeprefix(codecs.BOM_UTF8)
    named = _character_sets(raw)
    if ESCAPE in raw or re.search(rb"\\[CM][0-9A-Fa-f]{4,6}\\", raw):
        return _switched(raw, named)
    if raw.isascii():
        return raw.decode("ascii")
    return _by(raw, named[0])


def is_hl7(raw: bytes) -> bool:
    """Whether a file begins as messages do, or batches of them, in any of the encodings."""
    start = raw.removeprefix(codecs.BOM_UTF8).lstrip(b"\x0b\r\n \t\xff\xfe\0")[:9].replace(b"\0", b"")
    return start[:3] in (b"MSH", b"FHS", b"BHS")


def _character_sets(raw: bytes) -> list[str]:
    """The sets that MSH-18 names, in capitals without blanks and punctuation; the first is that of the message."""
    header = re.search(rb"^MSH[^\r\n]*", raw.replace(b"\r", b"\n"), re.MULTILINE)  # in a file it may follow FHS, BHS
    line = header[0].decode("latin-1") if header else ""
    names = Segment(line, Separators.of(line)).repeated(18)
    plain = [re.sub(r"[^A-Z0-9]", "", name.upper()) for name in names]
    return [_ALIASES.get(name, name) for name in plain] or [""]


def _codecs_of(name: str) -> tuple[str, ...]:
    if name in _CODECS:
        return _CODECS[name]
    if (part := re.fullmatch(r"(?:ISO)?(?:IEC)?8859([1-9]|1[0-13-6])", name)) is not None:
        return _CODECS["88591"] if part[1] == "1" else (f"iso8859-{part[1]}",)
    if (page := re.fullmatch(r"(?:WINDOWS|WIN|CP)(125[0-8]|874|932|936|949|950)", name)) is not None:
        return (f"cp{page[1]}",)
    if name.startswith("CNS11643"):
        raise UnsuitableInput("MSH-18 names CNS 11643, which cannot be read; send BIG-5 or UNICODE UTF-8")
    raise UnsuitableInput(f"MSH-18 names a character set that is not known; known are {KNOWN}")


def _by(raw: bytes, name: str) -> str:
    at = 0
    for codec in _codecs_of(name):
        try:
            return raw.decode(codec)
        except UnicodeDecodeError as error:
            at = max(at, error.start)
    named = "is not in the character set that MSH-18 names"
    why = named if name else "is neither UTF-8 nor Windows-1252; MSH-18 should name its character set"
    raise UnsuitableInput(f"{_place(raw, at)} {why}")


def _place(raw: bytes, at: int) -> str:
    """The field of a message that holds a byte, such as ``PID-5``; in words where its segment has no proper name."""
    segment = re.split(rb"[\r\n]", raw[:at])[-1].decode("latin-1")
    if re.fullmatch("[A-Z][A-Z0-9]{2}", segment[:3]) is None:
        return "the message"
    separator = raw[3:4].decode("latin-1") if raw.startswith(b"MSH") else "|"
    field = segment.count(separator or "|") + (segment[:3] in ("MSH", "FHS", "BHS"))  # there the separator is a field
    return f"{segment[:3]}-{field}"


def _strictly(raw: bytes, codec: str, why: str) -> str:
    try:
        return raw.decode(codec)
    except UnicodeDecodeError as error:
        raise UnsuitableInput(f"the message cannot be decoded: {why}") from error


def _switched(raw: bytes, named: list[str]) -> str:
    """A message with ISO 2022 escapes, or HL7's own in their place (chapter 2.7.2: ``\\C2842\\``, ``\\M2442\\``)."""
    raw = re.sub(
        rb"\\[CM]((?:[0-9A-Fa-f]{2}){2,3})\\", lambda found: ESCAPE + bytes.fromhex(found[1].decode("ascii")), raw
    )
    text = []
    at = 0
    for part in re.split(rb"(?=\x1b)", raw):
        code = part[: 4 if part[1:3] in (b"$(", b"$)") else 3]
        if code in (b"\x1b$B", b"\x1b$@", b"\x1b(I", b"\x1b$(D"):
            text.append(_strictly(part, "iso2022_jp_ext", "what follows an escape is not in its set"))
        elif code in (b"\x1b(B", b"") or not part.startswith(ESCAPE):
            text.append(_by(part.removeprefix(b"\x1b(B"), named[0]))
        elif code in CODES_TO_ENCODINGS:
            text.append(
                _strictly(part[len(code) :], CODES_TO_ENCODINGS[code], "what follows an escape is not in its set")
            )
        else:
            raise UnsuitableInput(
                f"{_place(raw, at)} has an escape to a character set that is not known: the byte 0x1B should begin "
                "one of ISO 2022's, such as ESC $ B, or not be there"
            )
        at += len(part)
    return "".join(text)


def messages(text: str) -> Iterator[str]:
    """The messages of a file, with segments ended by ``\\r``; the headers and trailers of batches are left out."""
    lines = re.split(r"\r\n|\r|\n", text.replace("\x0b", "\r").replace("\x1c", "\r"))
    message: list[str] = []
    for line in lines:
        if line.startswith("MSH") and message:
            yield "\r".join(message) + "\r"
            message = []
        if line.strip() and line[:3] not in ("FHS", "BHS", "BTS", "FTS"):
            message.append(line.lstrip())
    if message:
        yield "\r".join(message) + "\r"


@dataclass(frozen=True)
class Separators:
    """Those that a message says it uses, in MSH-1 and MSH-2; what follows the fourth says how texts are cut off."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    part: str = "&"

    @classmethod
    def of(cls, header: str) -> Separators:
        """Those of a message whose first segment is `header`; what it leaves out is as usual."""
        usual = cls()
        field = header[3:4] or usual.field
        told = header[4:8].split(field)[0]
        rest = (usual.component, usual.repetition, usual.escape, usual.part)
        return cls(field, *(told[n : n + 1] or rest[n] for n in range(4)))


class Segment:
    """Fields by number as the standard counts them; escape sequences are resolved."""

    def __init__(self, line: str, separators: Separators) -> None:
        fields = line.split(separators.field)
        self.name, self._separators = fields[0].strip(), separators
        # in MSH the separator itself is the first field
        self._fields = [self.name, separators.field, *fields[1:]] if self.name == "MSH" else fields
        self._cut: dict[int, list[list[str]]] = {}

    def component(self, number: int, repetition: int = 1, component: int = 1) -> str:
        """The text of a component; empty where there is none, or it is HL7's null, two quotation marks."""
        return self._text(self._component(number, repetition, component))

    def first_part(self, number: int, repetition: int, component: int) -> str:
        """The first part of a component that is not empty."""
        parts = self._component(number, repetition, component).split(self._separators.part)
        return next((text for part in parts[:2] if (text := self._text(part))), "")

    def repetitions(self, number: int) -> int:
        """How often a field is there."""
        return len(self._repetitions(number))

    def repeated(self, number: int) -> list[str]:
        """The first component of each repetition."""
        return [self.component(number, n + 1) for n in range(self.repetitions(number))]

    def _component(self, number: int, repetition: int, component: int) -> str:
        repetitions = self._repetitions(number)
        parts = repetitions[repetition - 1] if repetition <= len(repetitions) else []
        return parts[component - 1] if component <= len(parts) else ""

    def _repetitions(self, number: int) -> list[list[str]]:
        """The components of each repetition, cut once: a field may hold a million of them."""
        if number >= len(self._fields):
            return []
        if number not in self._cut:
            marks = self._separators
            repetitions = self._fields[number].split(marks.repetition)
            self._cut[number] = [repetition.split(marks.component) for repetition in repetitions]
        return self._cut[number]

    def _text(self, raw: str) -> str:
        text = raw.strip()
        if text == '""':
            return ""
        if self._separators.escape not in text:
            return text
        mark = re.escape(self._separators.escape)
        return re.sub(f"{mark}(?:([FSTRE])|X((?:[0-9A-Fa-f]{{2}})+)){mark}", self._unescaped, text).strip()

    def _unescaped(self, found: re.Match[str]) -> str:
        marks = self._separators
        if found[2]:
            raw = bytes.fromhex(found[2])
            try:
                return raw.decode("utf-8")
            except UnicodeDecodeError:
                return raw.decode("latin-1")
        return {"F": marks.field, "S": marks.component, "T": marks.part, "R": marks.repetition, "E": marks.escape}[
            found[1]
        ]
