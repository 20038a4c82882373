"""Parts of a multipart message as they come; more of it is tested with STOW-RS."""

from __future__ import annotations

import pytest

from node.network.content_encoding import UnsuitableBody
from node.network.multipart import MultipartParts, boundary_of

BODY = (
    b"a preamble\r\n--cut\r\nContent-Disposition: form-data; name=token\r\n\r\nabc\r\n"
    b'--cut\r\nContent-Disposition: form-data; name="files"; filename="a.dcm"\r\n\r\n\r\n\r\n--cut--\r\n'
)


@pytest.mark.parametrize("step", [1, 7, len(BODY)])
def test_parts_are_the_same_however_they_come(step: int) -> None:
    parts = MultipartParts(b"cut")
    events = [event for start in range(0, len(BODY), step) for event in parts.feed(BODY[start : start + step])]
    assert (parts.count, parts.finished) == (2, True)
    headers = [data["content-disposition"] for kind, data in events if kind == "headers"]
    assert headers == ["form-data; name=token", 'form-data; name="files"; filename="a.dcm"']
    assert b"".join(data for kind, data in events if kind == "data") == b"abc\r\n"


@pytest.mark.parametrize("boundary", ["", "x" * 71, "zwölf", "a\nb"])
def test_what_is_no_boundary_is_refused(boundary: str) -> None:
    with pytest.raises(UnsuitableBody, match="missing or not one"):
        boundary_of({"boundary": boundary})
    assert boundary_of({"boundary": "cut"}) == b"cut"
