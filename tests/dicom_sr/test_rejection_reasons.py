from __future__ import annotations

import pytest
from pydicom.sr.codedict import codes

from dicom_sr.rejection_reasons import RejectionReason


@pytest.mark.parametrize("reason", list(RejectionReason), ids=lambda reason: reason.word)
def test_a_reason_is_the_code_that_dicom_has_for_it(reason: RejectionReason) -> None:
    named = {code.value: code.meaning for name in codes.CID7010.dir() for code in [getattr(codes.CID7010, name)]}
    named |= {code.value: code.meaning for name in codes.CID7011.dir() for code in [getattr(codes.CID7011, name)]}
    assert named[reason] == reason.meaning
