"""Content types as they come."""

from __future__ import annotations

import pytest

from node.network.content_type import media_and_parameters

DICOM = "application/dicom"


@pytest.mark.parametrize(
    ("content_type", "media", "parameters"),
    [
        (f'Multipart/Related; TYPE="{DICOM}";\r\n boundary=A', "multipart/related", {"type": DICOM, "boundary": "A"}),
        ("a/b; type*=utf-8''application%2Fdicom; boundary*=utf-8''%41", "a/b", {"type": DICOM, "boundary": "A"}),
        (f"a/b; type={DICOM}; boundary*0=A; boundary*1=B", "a/b", {"type": DICOM, "boundary": "AB"}),
        ("a/b; boundary*0*=utf-8''%41; boundary*1=B", "a/b", {"boundary": "AB"}),
        ("a/b; boundary*=no-such-set'en'%41", "a/b", {"boundary": "A"}),
        ("a/b; transfer-syntax*=utf-8''1.2%2E840; a-b*=x", "a/b", {"transfer-syntax": "1.2.840", "a-b": "x"}),
        ("nonsense", "text/plain", {}),
        ("", "text/plain", {}),
    ],
)
def test_the_media_type_and_every_parameter_are_texts(
    content_type: str, media: str, parameters: dict[str, str]
) -> None:
    assert media_and_parameters(content_type) == (media, parameters)


@pytest.mark.parametrize(
    "parameters",
    [
        "boundary*=x'%ff",
        "boundary*=utf-8''%ff",
        "boundary*=idna''%41",
        "boundary*=punycode''%ff",
        "boundary*=hex''%41",
        "boundary*=a\0b''%41",
        "boundary*=a; boundary*0*=b",
        f"boundary*{'9' * 5000}*=b",
        "boundary*=''",
        "transfer-syntax*=idna''%41",
        "transfer-syntax*='",
        "transfer-syntax*",
        "boundary*",
        "boundary*0*=\xfc''%fc; boundary*1*=\xfc",
        "boundary*=utf-16''%41",
    ],
)
def test_parameters_that_cannot_be_read_raise_nothing(parameters: str) -> None:
    media, found = media_and_parameters(f"multipart/related; {parameters}")
    assert media == "multipart/related"
    assert all(isinstance(text, str) for text in found.values())
