"""MONAI's own checks of a bundle, without the network that they would fetch their schema from."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

SCHEMA = Path(__file__).parent / "bundle_schema.json"


def verify(bundle: Path, scratch: Path, net_id: str = "network_def", **sizes: int) -> None:
    """Hold the metadata against the specification, and the network against what the metadata say goes in and out.

    Parameters
    ----------
    bundle
        The folder.
    scratch
        A folder to write to.
    net_id
        Of the network in the inference config.
    **sizes
        `p`, `n` or `any`: the numbers that stand for the unknowns of `spatial_shape`.

    Raises
    ------
    ValueError
        If one of them does not hold.
    """
    from monai.bundle import verify_metadata, verify_net_in_out

    metadata, inference = bundle / "configs" / "metadata.json", bundle / "configs" / "inference.json"
    schema = scratch / "schema.json"
    shutil.copyfile(SCHEMA, schema)  # what is there already is not fetched
    digest = hashlib.sha256(schema.read_bytes()).hexdigest()
    verify_metadata(meta_file=str(metadata), filepath=str(schema), hash_val=digest, hash_type="sha256")
    verify_net_in_out(net_id, meta_file=str(metadata), config_file=str(inference), device="cpu", **{"any": 8, **sizes})
