from __future__ import annotations

import gc

from node.local.scratch import Scratch


def test_a_scratch_folder_is_private_and_goes_with_what_uses_it() -> None:
    scratch = Scratch()
    (scratch.inner("inner") / "file").write_text("content")
    path = scratch.path
    assert path.stat().st_mode & 0o077 == 0
    del scratch
    gc.collect()
    assert not path.exists()


def test_a_scratch_folder_can_be_closed_twice() -> None:
    scratch = Scratch()
    scratch.close()
    scratch.close()
    assert not scratch.path.exists()
