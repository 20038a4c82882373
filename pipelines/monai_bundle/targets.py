"""The objects that a bundle's configuration may have built: each ``_target_`` against a list, none of them by its path.

What reads or writes files, opens connections, runs what it is given or looks names up is not on the list. Reading and
writing of images is the pipeline's own, so those transforms are left out where a bundle names them.
"""

from __future__ import annotations

from collections.abc import Mapping

_TRANSFORMS = """
    Compose Identityd EnsureChannelFirstd EnsureTyped CastToTyped ToTensord ToMetaTensord FromMetaTensord ToNumpyd
    Orientationd Spacingd SpatialResampled ResampleToMatchd Resized Zoomd Flipd Rotate90d Rotated Affined Transposed
    SqueezeDimd SplitDimd RepeatChanneld RemoveRepeatedChanneld AddCoordinateChannelsd AsChannelLastd
    SpatialPadd BorderPadd DivisiblePadd Padd SpatialCropd CenterSpatialCropd CenterScaleCropd CropForegroundd Cropd
    ResizeWithPadOrCropd ApplyPendingd
    ScaleIntensityd ScaleIntensityRanged ScaleIntensityRangePercentilesd NormalizeIntensityd ShiftIntensityd
    StdShiftIntensityd ThresholdIntensityd AdjustContrastd ClipIntensityPercentilesd HistogramNormalized
    MaskIntensityd ForegroundMaskd SavitzkyGolaySmoothd GaussianSmoothd GaussianSharpend MedianSmoothd
    ConcatItemsd CopyItemsd DeleteItemsd SelectItemsd FlattenSubKeysd FlattenSequenced
    ConvertToMultiChannelBasedOnBratsClassesd
    Activationsd AsDiscreted Invertd KeepLargestConnectedComponentd RemoveSmallObjectsd FillHolesd LabelFilterd
    LabelToMaskd LabelToContourd MapLabelValued MeanEnsembled VoteEnsembled ProbNMSd DistanceTransformEDTd
    BoundingRectd SobelGradientsd Lambdad
"""
_NETWORKS = """
    AHNet AttentionUnet AutoEncoder BasicUNet BasicUNetPlusPlus Classifier DAF3D DenseNet DenseNet121 DenseNet169
    DenseNet201 DenseNet264 DiNTS DynUNet EfficientNet EfficientNetBN FlexibleUNet FlexUNet FullyConnectedNet
    HighResNet HoVerNet MedNeXt MedNeXtB MedNeXtL MedNeXtM MedNeXtS Quicknat Regressor ResNet ResNetFeatures
    SENet SENet154 SEResNet50 SEResNet101 SEResNet152 SEResNeXt50 SEResNext50 SEResNeXt101 SEResNext101
    SegResNet SegResNetDS SegResNetDS2 SegResNetVAE SwinUNETR TopologyInstance TorchVisionFCModel UNETR UNet
    VarAutoEncoder ViT ViTAutoEnc VNet densenet121 densenet169 densenet201 densenet264
    resnet10 resnet18 resnet34 resnet50 resnet101 resnet152 resnet200 seresnet50 seresnet101 seresnet152
"""
_INFERERS = "SimpleInferer SliceInferer SlidingWindowInferer SlidingWindowInfererAdapt"
_BOXES = """
    AffineBoxToImageCoordinated AffineBoxToWorldCoordinated ClipBoxToImaged ConvertBoxModed ConvertBoxToStandardModed
    StandardizeEmptyBoxd
"""
_DETECTION = {
    "RetinaNet": "monai.apps.detection.networks.retinanet_network",
    "resnet_fpn_feature_extractor": "monai.apps.detection.networks.retinanet_network",
    "RetinaNetDetector": "monai.apps.detection.networks.retinanet_detector",
    "AnchorGenerator": "monai.apps.detection.utils.anchor_utils",
    "AnchorGeneratorWithAnchorShape": "monai.apps.detection.utils.anchor_utils",
}
_MODULES: Mapping[str, str] = {
    **dict.fromkeys(_TRANSFORMS.split(), "monai.transforms"),
    **dict.fromkeys(_NETWORKS.split(), "monai.networks.nets"),
    **dict.fromkeys(_INFERERS.split(), "monai.inferers"),
    **dict.fromkeys(_BOXES.split(), "monai.apps.detection.transforms.dictionary"),
    **_DETECTION,
}
READS_IMAGES = frozenset({"LoadImaged", "LoadImageD", "LoadImageDict"})
WRITES_OR_TELLS = frozenset({"SaveImaged", "SaveClassificationd", "WriteFileMappingd", "DataStatsd", "ToDeviced"})
LEFT_OUT = READS_IMAGES | WRITES_OR_TELLS
# The model zoo's detector comes with a script that only calls it; the pipeline calls the detector itself
DETECTOR_CALLER = "scripts.detection_inferer.RetinaNetInferer"
# Such arguments make a network fetch or unpickle weights; those of the bundle take their place
FETCHES = frozenset(
    {"pretrained", "pretrained_backbone", "pretrained_url", "pretrained_state_dict_key", "weights", "progress"}
)

GONE = {"SwinUNETR": frozenset({"img_size"})}  # arguments that MONAI has no more; they had no part in the weights


def known_name(target: str) -> str | None:
    """The short name of a target that is on the list, or is left out; None for any other.

    Whatever module a path names, the object is taken from MONAI's own, so a path is only a longer way to write a name.
    """
    *path, name = target.split(".")
    if path and path[0] != "monai":
        return None
    for spelling in (name, *_spelled_otherwise(name)):
        if spelling in _MODULES or spelling in LEFT_OUT:
            return spelling
    return None


def _spelled_otherwise(name: str) -> tuple[str, ...]:
    """MONAI names its transforms of dictionaries in three ways."""
    if name.endswith("Dict"):
        return (f"{name.removesuffix('Dict')}d",)
    if name.endswith("D"):
        return (f"{name.removesuffix('D')}d",)
    return ("UNet",) if name == "Unet" else ()


def is_network(target: str) -> bool:
    """Whether it makes a network, or a part of one, that arguments may make fetch weights."""
    name = known_name(target)
    return name is not None and (name in _NETWORKS.split() or name in _DETECTION)


def found(target: str) -> object:
    """The class or function that a target on the list stands for.

    Raises
    ------
    LookupError
        If it is not on the list, or MONAI does not have it.
    """
    from importlib import import_module

    name = known_name(target)
    if name is None or name in LEFT_OUT:
        raise LookupError(f"{target} is not on the list of what may be built")
    try:
        made: object = getattr(import_module(_MODULES[name]), name)
    except (AttributeError, ImportError) as error:
        raise LookupError(f"{target} is not in the MONAI that is installed") from error
    return made
