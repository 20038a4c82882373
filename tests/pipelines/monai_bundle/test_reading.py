"""Configurations are read statically."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.monai_bundle.parts import Build, Device, Function
from pipelines.monai_bundle.reading import Reader, UnreadableBundle, load_file


def reader(folder: Path = Path("/bundle"), **values: Any) -> Reader:
    return Reader(values, folder)


def test_what_is_referred_to_twice_is_one_object() -> None:
    found = reader(
        key="image",
        pre={"_target_": "Compose", "transforms": [{"_target_": "EnsureTyped", "keys": "@key"}]},
        post={"_target_": "Compose", "transforms": [{"_target_": "Invertd", "keys": "pred", "transform": "@pre"}]},
    )
    before, after = found.part("pre"), found.part("post")
    assert isinstance(before, Build)
    assert after.arguments["transforms"][0].arguments["transform"] is before
    assert before.arguments["transforms"][0].arguments == {"keys": "image"}
    assert not found.unread


def test_references_go_into_lists_and_mappings_and_through_other_references() -> None:
    found = reader(a={"b": [10, {"c": "@d"}]}, d="$@e + 1", e=4, f="@a::b::1::c", g="$@a#b#0 * 2", h="@a", i="@h::b::0")
    assert (found.part("f"), found.part("g"), found.part("i")) == (5, 20, 10)


def test_the_folder_of_the_bundle_is_its_root(tmp_path: Path) -> None:
    assert reader(tmp_path, bundle_root=".", w="$@bundle_root + '/x'").part("w") == f"{tmp_path}/x"


def test_what_is_switched_off_is_not_there() -> None:
    found = reader(
        off=True,
        pre={
            "_target_": "Compose",
            "transforms": [{"_target_": "EnsureTyped", "keys": "a", "_disabled_": "$@off"}],
        },
    )
    assert found.part("pre").arguments["transforms"] == []


def test_reading_and_writing_of_files_is_left_out_and_said_so() -> None:
    found = reader(
        pre={
            "_target_": "Compose",
            "transforms": [{"_target_": "LoadImaged", "keys": "a"}, {"_target_": "SaveImageD", "keys": "a"}],
        }
    )
    assert found.part("pre").arguments["transforms"] == []
    assert found.left_out == {"pre::transforms::0": "LoadImaged", "pre::transforms::1": "SaveImageD"}


def test_every_mistake_is_found_at_once_with_its_place() -> None:
    found = reader(
        pre={
            "_target_": "Compose",
            "transforms": [
                {"_target_": "scripts.mine.Load", "keys": "a"},
                {"_target_": "Lambdad", "keys": "a", "func": "$lambda x: open(x)"},
                {"_target_": "EnsureTyped", "keys": "@nothing"},
                {"_target_": "EnsureTyped", "keys": "a"},
            ],
        }
    )
    found.part("pre")
    assert [one.sentence for one in found.unread.values()] == [
        "pre::transforms::0: _target_ scripts.mine.Load: scripts.mine.Load is not on the list of what may be built",
        "pre::transforms::1::func: $lambda x: open(x): the call of open in a function is not understood",
        "pre::transforms::2::keys: @nothing: refers to nothing, which is not there",
    ]


def test_what_refers_to_itself_is_said_to() -> None:
    found = reader(a="@b", b="$@a + 1")
    assert found.part("a") is None
    assert "refers to itself" in next(iter(found.unread.values())).why


def test_a_part_of_another_file_of_the_bundle_is_read_and_of_no_other(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "more.json").write_text(json.dumps({"net": {"_target_": "UNet", "channels": [1, 2]}}))
    (tmp_path / "more.json").write_text("{}")  # no folder that the digest covers
    others = {"far": "%../other.json::net", "beside": "%more.json", "no_name": "%configs/\0.json"}
    found = reader(tmp_path, net="%configs/more.json::net", same="%net", **others)
    assert found.part("net").arguments == {"channels": [1, 2]}
    assert found.part("same").arguments == {"channels": [1, 2]}
    for name in others:
        assert found.part(name) is None
        assert "not in the bundle" in found.unread[name].why


def test_what_grows_when_it_is_referred_to_is_not_built() -> None:
    values: dict[str, Any] = {"a0": [1] * 10}
    values |= {f"a{i}": [f"@a{i - 1}"] * 10 for i in range(1, 30)}
    found = reader(**values, net={"_target_": "UNet", "channels": "@a29"})
    found.part("net")
    assert {one.why for one in found.unread.values()} == {"holds too much"}


def test_what_is_nested_too_deep_for_python_is_said_to_be() -> None:
    values: dict[str, Any] = {"a0": 1}
    for i in range(1, 55):
        values[f"a{i}"] = f"@a{i - 1}"
        for _ in range(50):
            values[f"a{i}"] = [values[f"a{i}"]]
    found = reader(**values)
    found.part("a54")
    assert {one.why for one in found.unread.values()} == {"is nested too deep"}


def test_a_gpu_that_is_named_stands_for_the_device_of_the_pipeline() -> None:
    found = reader(where="cuda:1", net={"_target_": "EnsureTyped", "keys": "a", "device": "cuda", "other": "@where"})
    assert found.part("net").arguments == {"keys": "a", "device": Device(), "other": Device()}


def test_functions_and_constants_stay_descriptions() -> None:
    found = reader(t={"_target_": "Lambdad", "keys": "pred", "func": "$lambda x: x[1:]"})
    assert isinstance(found.part("t").arguments["func"], Function)


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("a.json", "{", "is no valid JSON"),
        ("a.yaml", "a: [", "is no valid YAML"),
        ("a.yaml", "!!python/object/apply:os.system ['true']", "is no valid YAML"),
        ("a.json", "[" * 5000 + "]" * 5000, "is no valid JSON"),
        (
            "a.yaml",
            "a: &a [x,x,x,x,x,x,x,x,x]\n"
            + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(8)),
            "holds too much",
        ),
    ],
)
def test_a_file_that_is_damaged_or_grows_is_refused(tmp_path: Path, name: str, text: str, why: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UnreadableBundle, match=why):
        load_file(tmp_path / name)
