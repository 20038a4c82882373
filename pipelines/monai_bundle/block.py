"""The entry of `bundles:` for a folder, as far as it can be written without knowing the site."""

from __future__ import annotations

import json
from pathlib import Path

from pipelines.monai_bundle.folder import BundleFolder
from pipelines.monai_bundle.running import keys_and_channels
from pipelines.monai_bundle.settings import LONGEST_NAME

FILL_IN = "# fill in"


def block(folder: BundleFolder, name: str, path: Path) -> str:
    """The entry as YAML; what the site has to say is marked by `FILL_IN`.

    Parameters
    ----------
    folder
        Of the bundle.
    name
        The name that the site gives it.
    path
        As the configuration is to name the folder.
    """
    kind = _kind(folder)
    trust = "declarative" if not folder.parts().unread else "code"
    lines = [
        "bundles:",
        f"  {name}:",
        f"    path: {_text(str(path))}",
        f'    sha256: "{folder.digest}"',
        f"    trust: {trust}",
    ]
    lines += _inputs(folder)
    lines += ["    output:", f"      kind: {kind}", *_output(folder, kind)]
    level = "series" if len(_input_names(folder)) == 1 else "study"
    lines += [
        "routes:",
        f"  {name}:",
        f"    when: {{Modality: {_modality(folder)}}}  {FILL_IN}: which series",
        f"    level: {level}",
        f"    pipeline: bundle:{name}",
        f"    destinations: [results]  {FILL_IN}: where results go",
    ]
    return "\n".join(lines) + "\n"


def _text(text: str) -> str:
    """A text as YAML takes it, in quotes where it needs them."""
    plain = all(sign.isalnum() or sign in "/._-" for sign in text) and not text[:1].isdigit()
    return text if plain else json.dumps(text, ensure_ascii=False)


def _inputs(folder: BundleFolder) -> list[str]:
    names, modality = _input_names(folder), _modality(folder)
    lines = ["    inputs:"]
    for name in names:
        more = ', SeriesDescription: "*"' if len(names) > 1 else ""
        lines.append(f"      {_text(name)}: {{Modality: {modality}{more}}}  {FILL_IN}: which images")
    return lines


def _input_names(folder: BundleFolder) -> list[str]:
    """The keys that the bundle loads; of one key with several channels, their names."""
    keys, channels = keys_and_channels(folder)
    if len(keys) > 1 or channels < 2 or (channels == 3 and _kind(folder) != "segmentation"):
        return list(keys)
    described = folder.inputs.get(keys[0]) or next(iter(folder.inputs.values()), {})
    named = described.get("channel_def")
    names = [str(one).strip() for one in named.values()] if isinstance(named, dict) else []
    if channels == 3 and {name.casefold()[:1] for name in names} <= {"r", "g", "b"}:
        return list(keys)
    return names if len(set(names)) == channels else [f"channel_{number}" for number in range(channels)]


_MODALITIES = {"MR": "MR", "MRI": "MR", "XR": "DX", "X-RAY": "DX", "US": "US", "PT": "PT", "PET": "PT"}


def _modality(folder: BundleFolder) -> str:
    said = next((str(one.get("modality") or "") for one in folder.inputs.values()), "").upper()
    return _MODALITIES.get(said, "CT")


def _kind(folder: BundleFolder) -> str:
    parts = folder.parts()
    if parts.detector is not None:
        return "boxes"
    outputs = folder.outputs.values()
    said = " ".join(str(one.get(key) or "") for one in outputs for key in ("type", "format"))
    is_classifier = "classification" in folder.said("task").casefold()
    if is_classifier or any(word in said for word in ("classif", "probabilit", "classes")):
        return "classes"
    if "point" in said or "landmark" in said:
        return "points"
    return "segmentation" if parts.inverted or "segmentation" in said or "image" in said else "number"


def _output(folder: BundleFolder, kind: str) -> list[str]:
    channels = folder.channels
    if kind == "segmentation":
        named = {value: name for value, name in channels.items() if name.casefold() not in ("background", "other")}
        return ["      segments:", *_entries(named or {1: "structure"}, "what it is, by its SNOMED CT code")]
    if kind == "classes":
        return ["      classes:", *_entries(channels or {0: "no", 1: "yes"}, "a code, or none")]
    if kind == "boxes":
        return ["      findings:", *_entries({0: "finding"}, "what it marks"), "      min_score: 0.5"]
    if kind == "points":
        return ["      points:", *_entries(channels or {0: "point"}, "what it marks")]
    return [f"      name: measurement  {FILL_IN}", f'      unit: "1"  {FILL_IN}: as UCUM writes it']


def _entries(named: dict[int, str], what: str) -> list[str]:
    hint = f'{FILL_IN}: type: [SCT, "code", meaning], {what}; side: R, L, B or U'
    names = {value: " ".join(name.split())[:LONGEST_NAME] or f"value {value}" for value, name in named.items()}
    return [f"        {_text(name)}: {{value: {value}}}  {hint}" for value, name in names.items()]
