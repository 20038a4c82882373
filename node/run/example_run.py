"""Try a pipeline before it is let near a patient's study: is it loaded, and does its example study break it?"""

from __future__ import annotations

import shutil

from dicom_sr.errors import UnsuitableInput
from node.run.messages import Tried, Try
from node.run.warm import Warm
from pipelines import registry
from pipelines.example import CREATED


def try_out(asked: Try, warm: Warm) -> Tried:
    """Load the pipeline, run it on the example study that it brings, and encode what it found.

    A pipeline may say that the example is unsuitable: it is simulated, and weights that were trained on real images may
    rightly refuse it. It must not break.

    Raises
    ------
    BundleError
        If the bundle is not the one that the settings name.
    """
    loaded = warm.get(asked.pipeline, asked.settings)
    pipeline, model = loaded.load()
    maker = getattr(registry.pipeline_type(asked.pipeline), "example", None)
    if maker is None:
        return Tried(model.weights_digest, model.trained_on, 0, "it was loaded only, as it brings no example study")
    source, objects = asked.folder / "source", asked.folder / "objects"
    source.mkdir(parents=True)
    example = maker(source)
    try:
        pipeline.check(example.study)
        result = loaded.run(example.study, example.context)
    except UnsuitableInput as error:
        remark = f"it calls the simulated example study unsuitable: {error}"
        return Tried(model.weights_digest, model.trained_on, 0, remark)
    from dicom_sr.profile import EncodingProfile
    from dicom_sr.write.encode import encode  # a second or two to import

    made = encode(result, EncodingProfile(), CREATED, objects)
    shutil.rmtree(objects)
    return Tried(result.model.weights_digest, result.model.trained_on, len(made))
