from __future__ import annotations

from pydicom.uid import UID
from pynetdicom import AE

from node.network import sop_classes


def test_the_names_are_those_of_the_standard() -> None:
    names = {str(value): UID(value).name for name, value in vars(sop_classes).items() if isinstance(value, UID)}
    assert names == {
        "1.2.840.10008.1.1": "Verification SOP Class",
        "1.2.840.10008.1.20.1": "Storage Commitment Push Model SOP Class",
        "1.2.840.10008.5.1.4.1.2.2.1": "Study Root Query/Retrieve Information Model - FIND",
        "1.2.840.10008.5.1.4.1.2.2.2": "Study Root Query/Retrieve Information Model - MOVE",
        "1.2.840.10008.5.1.4.1.2.2.3": "Study Root Query/Retrieve Information Model - GET",
    }


def test_pynetdicom_proposes_them() -> None:
    ae = AE("NODE")
    ae.add_requested_context(sop_classes.Verification)
    assert [context.abstract_syntax for context in ae.requested_contexts] == [sop_classes.Verification]
