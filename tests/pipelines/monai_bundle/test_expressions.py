"""What an expression of a configuration may be, and what it may not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.monai_bundle.expressions import NotUnderstood, computed, references, value_of
from pipelines.monai_bundle.parts import Build, Call, Device, Function, Named

NETWORK = Build("UNet", "network_def", {})
KNOWN: dict[str, Any] = {"a": 3, "b": [1, 2], "root": "/bundle", "flag": False, "net": NETWORK, "a::b": "deep"}


def read(text: str) -> Any:
    return value_of(text, KNOWN.__getitem__, "here")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("@a + 1", 4),
        ("@root + '/models/model.pt'", "/bundle/models/model.pt"),
        ("(not @flag)", True),
        ("[1.5, 1.5] if @flag else [3.0, 3.0]", [3.0, 3.0]),
        ("@b + [len(@b)]", [1, 2, 2]),
        ("((@a - 1) // 2,) * 4", (1, 1, 1, 1)),
        ("1.0 - float(2) / float(8)", 0.75),
        ("list(range(3)) + [9]", [0, 1, 2, 9]),
        ("@b[-1]", 2),
        ("@a#b", "deep"),
        ("None", None),
        ("{'image': @a}", {"image": 3}),
        ("@a > 2 and @a in [3, 4]", True),
        ("os.path.join(@root, 'models')", "/bundle/models"),
        ("-@a", -3),
        ("monai.utils.CommonKeys.IMAGE", "image"),
    ],
)
def test_literals_and_what_is_computed_of_them_are_read(text: str, value: object) -> None:
    assert read(text) == value


def test_devices_constants_and_objects_are_described_and_not_made() -> None:
    assert read("torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')") == Device()
    assert read("np.float32") == Named("numpy.float32")
    assert read("@net.to(@a)") is NETWORK
    made = read("monai.networks.nets.resnet.resnet50(spatial_dims=3, conv1_t_stride=[2, 2, 1])")
    assert made == Build(
        "monai.networks.nets.resnet.resnet50", "here", {"spatial_dims": 3, "conv1_t_stride": [2, 2, 1]}
    )
    assert read("@net.set_target_keys(box_key='box')") == Call(NETWORK, "set_target_keys", {"box_key": "box"})


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch /tmp/was_here')",
        "().__class__.__bases__[0].__subclasses__()",
        "open('/etc/passwd').read()",
        "exec('1')",
        "eval('1')",
        "@a.__class__",
        "@net.load_state_dict(1)",
        "getattr(@net, 'x')",
        "torch.load(@root)",
        "torch.hub.load('a', 'b')",
        "monai.bundle.run('x')",
        "monai.networks.nets.Transchex()",
        "[i for i in @b]",
        "f'{@a}'",
        "(lambda: 1)()",
        "import os",
        "lambda x: __import__('os').system('x')",
        "lambda x: x.__class__",
        "lambda x: torch.load(x)",
        "lambda x: [y for y in x]",
        "lambda x, y=1: x",
        "'%s' % @b",
        "print(1)",
        "@a := 1",
        "dict(**@b)",
        "b'bytes'",
    ],
)
def test_anything_else_is_not_understood_and_nothing_runs(text: str) -> None:
    with pytest.raises(NotUnderstood):
        read(text)
    assert not Path("/tmp/was_here").exists()


@pytest.mark.parametrize(
    "text",
    [
        "2 ** 99",
        "[0] * 10 ** 9",
        "[0] * 100000",
        "'a' * 100000",
        "9999999999 * 9999999999",
        "range(99999999999)",
        "1 / 0",
        "[1][7]",
        "1 + 'a'",
        "(" * 90 + "1" + ")" * 90,
        "-" * 60 + "1",
        "1 +" * 3000 + "1",
        "int('abc')",
        "int('9' * 5000)",
        "range(1, 2, 0)",
        "max([])",
        "[1, 2][::0]",
        "str([[[0] * 9999] * 9999] * 9999)",
        "[[[0] * 9999] * 9999] * 9999 == [[[0] * 9999] * 9999] * 9999",
    ],
)
def test_what_would_take_long_or_has_no_value_is_not_understood(text: str) -> None:
    if text.startswith("("):  # parentheses leave no nodes: such a text is only long
        assert read(text) == 1
        return
    with pytest.raises(NotUnderstood):
        read(text)


def test_a_function_of_one_tensor_is_computed_step_by_step() -> None:
    labels = read("lambda x: torch.where(x[[2]] > 0, 4, torch.where(x[[0]] > 0, 1, torch.where(x[[1]] > 0, 2, 0)))")
    assert isinstance(labels, Function)
    channels = torch.tensor([[0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    assert computed(labels, channels).tolist() == [[2, 1, 4, 0]]
    assert computed(read("lambda x : x[1:]"), channels).shape == (2, 4)
    assert computed(read("lambda x: torch.nan_to_num(x, nan=255)"), torch.tensor([float("nan")])).tolist() == [255.0]
    assert computed(read("lambda y: (y > 0) & ~(y > 2)"), torch.tensor([1, 3])).tolist() == [True, False]


def test_references_are_found_by_both_separators() -> None:
    assert references("@a + @b::c::0 + @d#e") == ["a", "b::c::0", "d::e"]
