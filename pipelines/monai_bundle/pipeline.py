"""A bundle as a pipeline: images in, and what the bundle finds as a result."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import ClassVar, Literal

from dicom_sr.findings import LeftAside, Model, Result
from dicom_sr.series import Series, Study
from dicom_sr.words import capital
from pipelines.base import Pipeline, PipelineSettings
from pipelines.bundle import BundleError
from pipelines.context import ClinicalContext
from pipelines.monai_bundle.codes import make_known
from pipelines.monai_bundle.folder import BundleFolder
from pipelines.monai_bundle.inputs import Chosen, Image, brought_to, choose, described, read
from pipelines.monai_bundle.pipeline_settings import MonaiBundleSettings
from pipelines.monai_bundle.running import Arrays, Runner
from pipelines.monai_bundle.settings import PREFIX

NOT_JUDGED = "Condyle has not judged this model: what its makers say of it is all that is known here."


class MonaiBundle:
    """The pipeline of one entry of `bundles:`; `named` makes the class for it."""

    name: ClassVar[str] = PREFIX
    version: str = "0"
    title: str = "Bundle"
    level: Literal["series", "study"] = "series"
    needs_context: ClassVar[bool] = False
    settings_type: ClassVar[type[PipelineSettings]] = MonaiBundleSettings

    def __init__(self, settings: PipelineSettings) -> None:
        self.settings = MonaiBundleSettings.of(settings)
        self._folder = BundleFolder(self.settings.path)
        self.level = "series" if len(self.settings.inputs) == 1 else "study"
        self.version = self._folder.said("version")[:16] or "0"
        self.title = self.settings.title or self._folder.said("name")[:40] or self.name
        make_known(self.settings)
        self._runner: Runner | None = None

    @property
    def model(self) -> Model:
        """The bundle: the digest is that of its configurations, weights and scripts."""
        return Model(
            self.name,
            self.version,
            self._folder.digest,
            self._trained_on(),
            self.settings.digest(),
            self.settings.series_base,
            manufacturer=self._folder.said("authors")[:64] or "unknown",  # of the bundle: its makers are not ours
        )

    def _trained_on(self) -> str:
        source = self._folder.said("data_source")
        return f"trained by its makers on {source[:200]}" if source else "what it was trained on, its makers do not say"

    def check(self, study: Study) -> None:
        """Hold the study against the conditions on the inputs, from headers alone.

        Raises
        ------
        UnsuitableInput
            If there is not one stack or picture for each input.
        """
        choose(study, self.settings.inputs)

    def require_pinned(self) -> None:
        """Make sure that the bundle is the one whose digest the settings give.

        Raises
        ------
        BundleError
            If it is another.
        """
        digest = self._folder.digest
        if digest != self.settings.sha256:
            raise BundleError(
                f"{self.settings.path} has the digest {digest}, and sha256 asks for {self.settings.sha256}; look at"
                " what changed, and correct sha256 if the bundle is to be trusted as it is now"
            )

    def load(self) -> None:
        """Build the network and the transforms, and bring the weights into memory.

        Raises
        ------
        BundleError
            If the bundle is another than the settings name.
        UnreadableBundle, CannotBeBuilt
            If something of it is not understood or does not fit.
        """
        self.require_pinned()
        self._runner = self._made_ready()

    def _made_ready(self) -> Runner:
        if self.settings.trust == "code":
            from pipelines.monai_bundle.confined import ConfinedRunner

            return ConfinedRunner(self._folder, self.settings)
        from pipelines.device import resolved
        from pipelines.monai_bundle.running import DeclarativeRunner

        device = str(resolved(self.settings.device))
        return DeclarativeRunner(self._folder, self.settings.output.kind, device, autocast=self.settings.autocast)

    def run(self, study: Study, context: ClinicalContext | None = None) -> Result:
        """What the bundle finds.

        Raises
        ------
        UnsuitableInput
            If the images are not those that it needs, or its transforms or network do not take them.
        """
        from pipelines.monai_bundle.findings import found, page

        if self._runner is None:
            self.load()
        assert self._runner is not None
        chosen = choose(study, self.settings.inputs)
        loaded, channels = self._wanted()
        in_colour = channels == 3 and len(chosen) == 1
        images = {name: read(one, in_colour=in_colour) for name, one in chosen.items()}
        images, resampled = self._on_one_grid(images)
        reference = images[self.settings.reference_input]
        made = self._runner.run(self._as_loaded(images, loaded), self.settings.output.kind)
        what = found(self.settings, made, reference, self._folder.channels)
        return Result(
            model=self.model,
            title=self.title,
            evidence=_evidence(chosen),
            conclusion=tuple(what.conclusion),
            findings=tuple(what.findings),
            segments=tuple(what.segments),
            pages=(page(what, self.title),),
            limits=(*what.limits, *described(images, resampled, self.settings.reference_input), *self._remarks()),
            left_aside=_left_aside(chosen),
            parameters=self._parameters(),
        )

    def _wanted(self) -> tuple[tuple[str, ...], int]:
        """The keys that the bundle loads, and how many channels its network takes."""
        from pipelines.monai_bundle.running import keys_and_channels

        return keys_and_channels(self._folder)

    def _on_one_grid(self, images: dict[str, Image]) -> tuple[dict[str, Image], list[str]]:
        reference = self.settings.reference_input
        others = [name for name in images if name != reference]
        made, resampled = brought_to(images[reference], [images[name] for name in others])
        placed = {**images, **dict(zip(others, made, strict=True))}
        return placed, [others[index] for index in resampled]

    def _as_loaded(self, images: Mapping[str, Image], loaded: tuple[str, ...]) -> dict[str, Arrays]:
        """The inputs under the keys that the bundle loads; several for one key are its channels, in their order."""
        import numpy as np

        first = images[self.settings.reference_input]
        channel_first = self._folder.parts().channel_first
        ordered = dict(sorted(images.items(), key=lambda one: one[0] != self.settings.reference_input))
        if set(loaded) == set(images):
            made = {}
            for name, one in ordered.items():
                array, channel_dim = one.as_monai_reads_it()
                if channel_dim is None and channel_first:
                    array, channel_dim = array[None], 0
                made[name] = Arrays(array, one.affine_ras, channel_dim)
            return made
        arrays = [one.as_monai_reads_it() for one in images.values()]
        if len(arrays) == 1:
            array, channel_dim = arrays[0]
            if channel_dim is None and channel_first:
                array, channel_dim = array[None], 0
            return {loaded[0]: Arrays(array, first.affine_ras, channel_dim)}
        return {loaded[0]: Arrays(np.stack([array for array, _ in arrays]), first.affine_ras, 0)}

    def _remarks(self) -> list[str]:
        use = self._folder.said("intended_use")
        said = [self._runner.remark] if self._runner is not None and self._runner.remark else []
        said += [f"The bundle says of its use: “{use.rstrip('.')[:300]}.”"] if use else []
        if self.settings.trust == "code":
            said.append("The bundle ran its own code, in a box without network.")
        return [*said, NOT_JUDGED]

    def _parameters(self) -> tuple[tuple[str, str], ...]:
        settings = self.settings
        inputs = "; ".join(
            f"{name}: {', '.join(f'{key} {value}' for key, value in clauses.items()) or 'any'}"
            for name, clauses in settings.inputs.items()
        )
        bundle = capital(self._folder.said("name")) or self.name
        return (
            ("bundle", f"{bundle} {self.version}"),
            ("trust", settings.trust),
            ("inputs", inputs),
            ("output", settings.output.kind),
            ("device", dict(settings.as_parameters())["device"]),
            ("autocast", str(settings.autocast)),
        )


def _evidence(chosen: Mapping[str, Chosen]) -> tuple[Series, ...]:
    by_uid: dict[str, Series] = {}
    for one in chosen.values():
        by_uid.setdefault(one.series.series_instance_uid, one.series)
    return tuple(by_uid.values())


def _left_aside(chosen: Mapping[str, Chosen]) -> tuple[LeftAside, ...]:
    return tuple(dict.fromkeys(aside for one in chosen.values() for aside in one.left_aside))


@cache
def named(name: str) -> type[Pipeline]:
    """The pipeline of the bundle that the configuration calls `name`, without ``bundle:`` in front."""
    made: type[Pipeline] = type("MonaiBundle", (MonaiBundle,), {"name": f"{PREFIX}{name}", "__module__": __name__})
    return made
