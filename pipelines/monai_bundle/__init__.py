"""Any bundle in the form of MONAI's model zoo as a pipeline: what the configuration says, read before anything runs.

Tests: `parts` is tested with `expressions` and `reading`, `in_box` with `confined`, `pipeline_settings` with
`settings`, `findings`, `outlines`, `inputs`, `running`, `execution` and `codes` with `pipeline`, and `phantom` with
`geometry`.
"""
