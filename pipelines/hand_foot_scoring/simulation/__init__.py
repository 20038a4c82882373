"""Simulated radiographs of hands and feet with a known answer, and marks of real ones (`marked`).

Tests: what `limb_builder` draws is tested limb by limb in `test_skeleton`, `test_hand`, `test_foot` and `test_wrist`;
`sample` makes the films of `test_pipeline`.
"""
