"""Bundles in the form of MONAI's model zoo, made for a test: MONAI's networks with weights for a known answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

THRESHOLD = 0.5  # of the scaled image, above which `threshold_bundle` finds its structure
LEVELS = (-57.0, 164.0)  # that are scaled to 0 and 1
DEVICE = "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')"
UNET: dict[str, Any] = {
    "_target_": "UNet",
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 2,
    "channels": [2, 2],
    "strides": [1],
    "num_res_units": 0,
    "norm": None,
    "act": None,
}


def write(folder: Path, inference: dict[str, Any], metadata: dict[str, Any]) -> Path:
    """The folder of a bundle with these two files."""
    (folder / "configs").mkdir(parents=True, exist_ok=True)
    (folder / "models").mkdir(exist_ok=True)
    (folder / "configs" / "inference.json").write_text(json.dumps(inference, indent=4))
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata, indent=4))
    return folder


def metadata(name: str, outputs: dict[str, Any], channels: int = 1) -> dict[str, Any]:
    """What a bundle says of itself."""
    return {
        "version": "0.1.0",
        "name": name,
        "data_source": "made for a test",
        "intended_use": "This is an example, not to be used for diagnostic purposes",
        "network_data_format": {
            "inputs": {"image": {"type": "image", "num_channels": channels}},
            "outputs": {"pred": outputs},
        },
    }


def inference(**parts: Any) -> dict[str, Any]:
    """A configuration as the model zoo writes them."""
    return {
        "imports": ["$import glob", "$import os"],
        "bundle_root": ".",
        "image_key": "image",
        "output_dir": "$@bundle_root + '/eval'",
        "dataset_dir": "/workspace/data",
        "datalist": "$list(sorted(glob.glob(@dataset_dir + '/*.nii.gz')))",
        "device": DEVICE,
        "network": "$@network_def.to(@device)",
        "dataset": {
            "_target_": "Dataset",
            "data": "$[{'image': i} for i in @datalist]",
            "transform": "@preprocessing",
        },
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
        },
        "checkpointloader": {
            "_target_": "CheckpointLoader",
            "load_path": "$@bundle_root + '/models/model.pt'",
            "load_dict": {"model": "@network"},
        },
        "run": ["$@evaluator.run()"],
        **parts,
    }


def composed(*transforms: dict[str, Any]) -> dict[str, Any]:
    """A chain of transforms."""
    return {"_target_": "Compose", "transforms": list(transforms)}


def threshold_bundle(folder: Path, *, save: bool = True, more: tuple[dict[str, Any], ...] = (), **parts: Any) -> Path:
    """A segmentation of what is brighter than the middle of `LEVELS`: a U-Net whose weights do that and no more.

    Parameters
    ----------
    folder
        Of the bundle.
    save
        Whether its weights are there.
    more
        Transforms between the spacing and the scaling.
    parts
        In place of parts of the configuration.
    """
    image = "@image_key"
    before = composed(
        {"_target_": "LoadImaged", "keys": image},
        {"_target_": "EnsureChannelFirstd", "keys": image},
        {"_target_": "Orientationd", "keys": image, "axcodes": "RAS"},
        {"_target_": "Spacingd", "keys": image, "pixdim": [1.5, 1.5, 1.5], "mode": "bilinear"},
        *more,
        {"_target_": "ScaleIntensityRanged", "keys": image}
        | {"a_min": LEVELS[0], "a_max": LEVELS[1], "b_min": 0, "b_max": 1, "clip": True},
        {"_target_": "EnsureTyped", "keys": image},
    )
    after = composed(
        {"_target_": "Activationsd", "keys": "pred", "softmax": True},
        {"_target_": "Invertd", "keys": "pred", "transform": "@preprocessing", "orig_keys": image}
        | {"nearest_interp": False, "to_tensor": True},
        {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
        {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir"},
    )
    whole = inference(
        network_def=UNET,
        preprocessing=before,
        inferer={"_target_": "SlidingWindowInferer", "roi_size": [48, 48, 48], "sw_batch_size": 2, "overlap": 0.25},
        postprocessing=after,
    )
    outputs = {"type": "image", "format": "segmentation", "channel_def": {"0": "background", "1": "spleen"}}
    write(folder, whole | parts, metadata("Spleen CT segmentation", outputs))
    if save:
        torch.save({"model": threshold_weights()}, folder / "models" / "model.pt")
    return folder


def threshold_weights() -> dict[str, torch.Tensor]:
    """Weights of `UNET`: one channel of the output is the image, the other `THRESHOLD`."""
    from monai.networks.nets import UNet

    network = UNet(**{name: value for name, value in UNET.items() if name != "_target_"})
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        first, last = [one for one in network.modules() if isinstance(one, nn.Conv3d | nn.ConvTranspose3d)][::2]
        first.weight[0, 0, 1, 1, 1] = 1.0  # the image, as it is
        sharp = 40.0  # so that softmax leaves nothing between
        last.weight[0, 1, 1, 1, 1] = sharp
        assert last.bias is not None
        last.bias[0] = sharp * THRESHOLD
    weights: dict[str, torch.Tensor] = network.state_dict()
    return weights


def classification_bundle(folder: Path) -> Path:
    """Two classes of a radiograph, by a small network with random weights."""
    image = "@image_key"
    network: dict[str, Any] = {"_target_": "DenseNet", "spatial_dims": 2, "in_channels": 1, "out_channels": 2}
    network |= {"init_features": 8, "growth_rate": 4, "block_config": [2, 2], "bn_size": 2}
    write(
        folder,
        inference(
            network_def=network,
            preprocessing=composed(
                {"_target_": "LoadImaged", "keys": image},
                {"_target_": "EnsureChannelFirstd", "keys": image},
                {"_target_": "ScaleIntensityd", "keys": image, "minv": 0.0, "maxv": 1.0},
                {"_target_": "Resized", "keys": image, "spatial_size": [64, 64]},
            ),
            inferer={"_target_": "SimpleInferer"},
            postprocessing=composed({"_target_": "Activationsd", "keys": "pred", "softmax": True}),
        ),
        metadata("Fracture", {"type": "probabilities", "channel_def": {"0": "no fracture", "1": "fracture"}}),
    )
    from monai.networks.nets import DenseNet

    torch.manual_seed(3)
    made = DenseNet(**{name: value for name, value in network.items() if name != "_target_"})
    torch.save(made.state_dict(), folder / "models" / "model.pt")
    return folder


def detection_bundle(folder: Path) -> Path:
    """Boxes in a CT, by a small RetinaNet with random weights."""
    image = "@image_key"
    whole = inference(
        spatial_dims=3,
        anchor_generator={
            "_target_": "monai.apps.detection.utils.anchor_utils.AnchorGeneratorWithAnchorShape",
            "feature_map_scales": [1, 2],
            "base_anchor_shapes": [[6, 8, 4], [10, 10, 6]],
        },
        backbone="$monai.networks.nets.resnet.resnet10(spatial_dims=3,n_input_channels=1,conv1_t_stride=[2,2,1])",
        feature_extractor="$monai.apps.detection.networks.retinanet_network.resnet_fpn_feature_extractor("
        "@backbone,3,False,[1],None)",
        network_def={
            "_target_": "RetinaNet",
            "spatial_dims": "@spatial_dims",
            "num_classes": 1,
            "num_anchors": 2,
            "feature_extractor": "@feature_extractor",
            "size_divisible": [16, 16, 8],
        },
        detector={
            "_target_": "RetinaNetDetector",
            "network": "@network",
            "anchor_generator": "@anchor_generator",
            "spatial_dims": "@spatial_dims",
            "num_classes": 1,
            "size_divisible": [16, 16, 8],
        },
        detector_ops=[
            "$@detector.set_target_keys(box_key='box', label_key='label')",
            "$@detector.set_box_selector_parameters(score_thresh=0.001,topk_candidates_per_level=50,nms_thresh=0.05,"
            "detections_per_img=5)",
            "$@detector.set_sliding_window_inferer(roi_size=[64,64,32],overlap=0.25,sw_batch_size=1,mode='constant',"
            "device='cpu')",
        ],
        preprocessing=composed(
            {"_target_": "LoadImaged", "keys": image},
            {"_target_": "EnsureChannelFirstd", "keys": image},
            {"_target_": "Orientationd", "keys": image, "axcodes": "RAS"},
            {"_target_": "Spacingd", "keys": image, "pixdim": [3.0, 3.0, 4.0]},
            {"_target_": "ScaleIntensityRanged", "keys": image}
            | {"a_min": -1024.0, "a_max": 300.0, "b_min": 0.0, "b_max": 1.0, "clip": True},
            {"_target_": "EnsureTyped", "keys": image},
        ),
        inferer={"_target_": "scripts.detection_inferer.RetinaNetInferer", "detector": "@detector"},
        postprocessing=composed(
            {"_target_": "ClipBoxToImaged", "box_keys": "box", "label_keys": "label", "box_ref_image_keys": image}
            | {"remove_empty": True},
            {"_target_": "AffineBoxToWorldCoordinated", "box_keys": "box", "box_ref_image_keys": image}
            | {"affine_lps_to_ras": True},
            {"_target_": "ConvertBoxModed", "box_keys": "box", "src_mode": "xyzxyz", "dst_mode": "cccwhd"},
            {"_target_": "DeleteItemsd", "keys": [image]},
        ),
    )
    write(folder, whole, metadata("Lung nodule CT detection", {"type": "object", "format": "dict"}))
    torch.manual_seed(5)
    torch.save({"model": detection_network(folder).state_dict()}, folder / "models" / "model.pt")
    return folder


def detection_network(folder: Path) -> nn.Module:
    """The network that the configuration of a detection bundle describes, with weights of the moment."""
    from pipelines.monai_bundle.building import Builder
    from pipelines.monai_bundle.folder import BundleFolder

    network: nn.Module = Builder().built(BundleFolder(folder).parts().network)
    return network
