"""Runs the transforms, the inferer and the network of a bundle on arrays; as a program, in a process of its own.

The module imports nothing of Condyle: ``python execution.py FOLDER`` is what `pipelines.monai_bundle.confined` starts
in a box, with whichever Python the configuration names. FOLDER holds ``request.json`` and the inputs as ``.npy``; what
comes out is written there as ``.npy``, and ``answer.json`` last.
"""

from __future__ import annotations

import json
import sys
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any

READS, WRITES = "LoadImage", ("SaveImage", "SaveClassification", "WriteFileMapping", "DataStats")


def tensor(array: Any, affine: Any, channel_dim: int | None) -> Any:
    """An array as MONAI's reader of images would give it.

    Parameters
    ----------
    array
        (W, H, D) or (W, H), with channels where `channel_dim` says.
    affine
        (4, 4): index (w, h, d, 1) to RAS, mm.
    channel_dim
        Its axis of channels; None: it has none.
    """
    import numpy as np
    import torch
    from monai.data import MetaTensor

    channels = "no_channel" if channel_dim is None else channel_dim
    spatial = [size for axis, size in enumerate(array.shape) if channel_dim is None or axis != channel_dim % array.ndim]
    meta = {"original_channel_dim": channels, "spatial_shape": np.array(spatial), "space": "RAS"}
    made = MetaTensor(
        torch.from_numpy(np.ascontiguousarray(array)), affine=torch.from_numpy(np.asarray(affine)), meta=meta
    )
    made.meta["original_affine"] = np.asarray(affine)
    return made


def execute(
    network: Any,
    preprocessing: Any,
    inferer: Any,
    postprocessing: Any,
    images: dict[str, Any],
    kind: str,
    device: str,
    autocast: bool,
) -> dict[str, Any]:
    """The arrays that a bundle makes of images.

    Parameters
    ----------
    network, preprocessing, inferer, postprocessing
        Objects of MONAI; the last two may be None. For boxes the inferer is a detector.
    images
        By key: tensors as `tensor` makes them.
    kind
        Of output, as the configuration names it.
    device
        As torch names it.
    autocast
        Whether the network computes in half precision on a GPU.

    Returns
    -------
    dict
        Of a segmentation ``values`` (C, W, H, D) on the grid of the first image, with ``resampled``, whether they had
        to be brought there. Of boxes ``boxes`` (N, 6), corners by index of the image that the network saw, with
        ``scores`` (N,), ``labels`` (N,) and that image's ``affine``. Of anything else ``values`` with the ``affine``,
        the ``shape`` of the image that the network saw, and ``probabilities``, whether the bundle made them so.
    """
    import torch

    source = next(iter(images.values()))
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # about what MONAI itself will change
        data, image = prepared(preprocessing, images)
        batch = image[None].to(device)
        with precision(device, autocast=autocast):
            if kind == "boxes":
                return _boxes(inferer, batch, image)
            found = network(batch) if inferer is None else inferer(inputs=batch, network=network)
        found = _only(found)[0].float().cpu()
        if kind == "segmentation":
            return _segmentation(data, image, found, postprocessing, source)
        return _values(data, image, found, postprocessing, kind)


def precision(device: str, *, autocast: bool) -> Any:
    """The context that a network computes in: half precision on a GPU if it is asked for, as with MONAI's ``amp``."""
    import torch

    if not autocast or not device.startswith("cuda"):
        return nullcontext()
    return torch.autocast("cuda", dtype=torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16)


def prepared(preprocessing: Any, images: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """Everything after a bundle's own preprocessing, and of it the image (C, ...) that the network is shown."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = preprocessing(dict(images))
    return data, data["image"] if "image" in data else data[next(iter(images))]


def _only(found: Any) -> Any:
    while isinstance(found, list | tuple) and len(found) == 1:
        found = found[0]
    if isinstance(found, list | tuple | dict):
        raise ValueError(f"the network gives {len(found)} results where one is expected")
    return found


def _boxes(detector: Any, batch: Any, image: Any) -> dict[str, Any]:
    import numpy as np

    window = getattr(getattr(detector, "inferer", None), "roi_size", None)
    large = window is not None and batch[0, 0].numel() >= np.prod([size for size in window if size > 0])
    (found,) = detector([batch[0].as_tensor()], use_inferer=bool(large))
    names = (detector.target_box_key, detector.pred_score_key, detector.target_label_key)
    boxes, scores, labels = (found[name].float().cpu().numpy() for name in names)
    return {"boxes": boxes, "scores": scores, "labels": labels, "affine": _affine(image)}


def _affine(image: Any) -> Any:
    import numpy as np

    return np.asarray(image.affine.cpu(), np.float64)


def _after(data: dict[str, Any], image: Any, found: Any, transforms: Any) -> Any:
    """The prediction after its own transforms."""
    from monai.data import MetaTensor

    data["pred"] = MetaTensor(found.as_tensor() if isinstance(found, MetaTensor) else found, meta=dict(image.meta))
    if transforms is None:
        return data["pred"]
    for transform in getattr(transforms, "transforms", (transforms,)):
        keys = getattr(transform, "keys", ())
        if "label" in keys and len(keys) > 1:  # of training alone
            transform.allow_missing_keys = True
    return transforms(data)["pred"]


def _segmentation(data: dict[str, Any], image: Any, found: Any, transforms: Any, source: Any) -> dict[str, Any]:
    """The labels on the grid of the source: where the bundle does not bring them back there, they are, by nearest."""
    import numpy as np
    from monai.transforms import SpatialResample

    values = _after(data, image, found, transforms)
    affine, spatial = np.asarray(source.affine), _spatial(source)
    same = tuple(values.shape[1:]) == spatial and np.allclose(np.asarray(values.affine), affine, atol=1e-3)
    if not same:
        resample = SpatialResample(mode="nearest", padding_mode="zeros", align_corners=False)
        values = resample(values, dst_affine=source.affine, spatial_size=spatial)
    return {"values": values.float().cpu().numpy(), "resampled": np.array(not same)}


def _spatial(source: Any) -> tuple[int, ...]:
    return tuple(int(size) for size in source.meta["spatial_shape"])


def _values(data: dict[str, Any], image: Any, found: Any, transforms: Any, kind: str) -> dict[str, Any]:
    """Classes before they are made one of several: their probabilities are asked for."""
    import numpy as np
    import torch
    from monai.transforms import Activations, AsDiscreted, Compose

    if kind == "classes" and transforms is not None:
        kept = [one for one in getattr(transforms, "transforms", (transforms,)) if not isinstance(one, AsDiscreted)]
        transforms = Compose(kept) if kept else None
    values = _after(data, image, found, transforms)
    values = torch.as_tensor(values.as_tensor() if hasattr(values, "as_tensor") else values).float().cpu()
    # what a network gives may lie between 0 and 1 by chance
    made_so = _activates(transforms) or abs(float(values.sum()) - 1) < 1e-3
    is_probability = bool(((values >= 0) & (values <= 1)).all()) and made_so
    if kind == "classes" and not is_probability:
        values = Activations(softmax=True)(values)
    shape = np.array(image.shape[1:])
    probabilities = np.array(is_probability)
    return {"values": values.numpy(), "affine": _affine(image), "shape": shape, "probabilities": probabilities}


def _activates(transforms: Any) -> bool:
    """Whether a chain of transforms makes probabilities of what a network gives."""
    from monai.transforms import Activationsd

    chain = getattr(transforms, "transforms", (transforms,))
    return any(any((*one.softmax, *one.sigmoid, *one.other)) for one in chain if isinstance(one, Activationsd))


# ---- as a program
def serve(folder: Path) -> None:
    """Do what ``request.json`` in a folder asks for, once."""
    import numpy as np

    request = json.loads((folder / "request.json").read_text())
    images = {
        one["key"]: tensor(
            np.load(folder / one["file"], allow_pickle=False), np.array(one["affine"]), one["channel_dim"]
        )
        for one in request["images"]
    }
    parts = _evaluated(Path(request["bundle"]), request)
    settings = {key: request[key] for key in ("kind", "device", "autocast")}
    made = execute(**parts, images=images, **settings)
    for name, array in made.items():
        np.save(folder / f"{name}.npy", np.asarray(array), allow_pickle=False)
    (folder / "answer.json").write_text(json.dumps({"arrays": list(made)}))


def _evaluated(bundle: Path, request: dict[str, Any]) -> dict[str, Any]:
    """The parts of a bundle as MONAI itself makes them: its expressions and scripts are run."""
    from monai.bundle import ConfigParser

    sys.path.insert(0, str(bundle))
    parser = ConfigParser()
    parser.read_config(str(bundle / request["configuration"]))
    parser["bundle_root"] = str(bundle)
    parser["device"] = f"$torch.device('{request['device']}')"
    parser.parse()
    parts: dict[str, Any] = {
        part: parser.get_parsed_content(name) if name else None for part, name in request["parts"].items()
    }
    if request["kind"] == "boxes":
        if "detector_ops" in parser.get():
            parser.get_parsed_content("detector_ops")
        parts["inferer"] = parser.get_parsed_content("detector")
    parts["preprocessing"] = _without(parts["preprocessing"], (READS,))
    parts["postprocessing"] = _without(parts["postprocessing"], WRITES)
    if request["weights"]:
        parts["network"].load_state_dict(_weights(request["weights"]))
    for part in ("network", "inferer"):
        if hasattr(parts[part], "eval"):
            parts[part].eval()
    return parts


def _weights(path: str) -> Any:
    """The weights of a file, which is trusted as the code beside it is.

    A checkpoint may hold objects of the bundle's own classes or of NumPy, as those of nnU-Net do, so it is unpickled
    whole: the box is what keeps it from harm, as it does the bundle's scripts, which run in this process anyway.
    """
    import torch

    if path.endswith(".safetensors"):
        from safetensors.torch import load_file

        return load_file(path)
    content = torch.load(path, map_location="cpu", weights_only=False)
    for name in ("model", "state_dict", "network"):
        content = content[name] if isinstance(content, dict) and isinstance(content.get(name), dict) else content
    return content


def _without(chain: Any, names: tuple[str, ...]) -> Any:
    """A chain of transforms without those whose class is named so: images come as arrays, and go as such."""
    from monai.transforms import Compose

    if isinstance(chain, Compose):
        chain.transforms = tuple(one for one in chain.transforms if not type(one).__name__.startswith(names))
    return chain


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
