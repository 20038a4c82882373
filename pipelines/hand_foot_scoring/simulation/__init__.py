"""Simulated radiographs of hands and feet with a known answer: skeletons that are rendered, and real films repainted.

Rendered limbs come from no patient. Painted films come from the openly licensed radiographs whose bones are marked in
`marked`: they are taken apart into layers (`layers`), moved (`posing`), damaged (`lesions`), put together again
(`painted`) and processed as other devices would (`processing`).

Tests: what `limb_builder`, `bone_shapes` and `wrist_spaces` draw is tested limb by limb in `test_skeleton`,
`test_hand`, `test_foot` and `test_wrist`; `sample` makes the films of `test_pipeline`.
"""
