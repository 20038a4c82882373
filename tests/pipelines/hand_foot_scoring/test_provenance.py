"""What the parts of a bundle were trained on, as its metadata say."""

from __future__ import annotations

import shutil
from pathlib import Path

from pipelines.bundle_configs import METADATA, read_metadata, trained_on
from pipelines.hand_foot_scoring import BUNDLE, HandFootScoring, HandFootScoringSettings
from pipelines.hand_foot_scoring.provenance import OPEN, SIMULATED, PartRecord, Provenance, Source, read_provenance
from pipelines.hand_foot_scoring.training.bundle_files import add_part

RAM = Source("RAM-H1200", "CC BY 4.0", patients=80, films=160, share=0.5)


def test_a_bundle_says_what_its_parts_were_trained_on(tmp_path: Path) -> None:
    add_part(tmp_path, "localiser", PartRecord("condyle train hand_foot_scoring", 3))
    only = read_provenance(tmp_path)
    assert only == Provenance({"localiser": PartRecord("condyle train hand_foot_scoring", 3)})
    assert only.data_source == "simulated radiographs only"
    add_part(tmp_path, "damage", PartRecord("condyle train", 4, (RAM, Source("simulated radiographs"))))
    both = read_provenance(tmp_path)
    assert both.parts["localiser"].seed == 3
    assert both.parts["damage"].sources[0].licence == "CC BY 4.0"
    assert both.data_source == "simulated radiographs and RAM-H1200 (80 patients)"
    assert trained_on(tmp_path) == f"trained on {both.data_source}; research only, not for clinical use"


def test_the_largest_number_of_real_films_is_named() -> None:
    parts = {
        part: PartRecord("condyle train", 0, (Source(SIMULATED), Source(OPEN, "CC0 1.0, CC BY 4.0", films=films)))
        for part, films in (("localiser", 9), ("damage", 6))
    }
    assert Provenance(parts).data_source == "simulated radiographs and openly licensed radiographs (9 films)"


def test_what_the_shipped_bundle_learned_from_is_said_part_by_part_with_licences_commands_and_seeds() -> None:
    parts = read_provenance(BUNDLE).parts
    assert set(parts) == {"shape", "localiser", "damage", "calibration"}
    assert parts["localiser"].seed == 2
    assert "fracatlas_IMG0000181_foot_lateral.jpg (CC BY 4.0)" in parts["localiser"].remarks[0]
    assert all(record.command.startswith("condyle train hand_foot_scoring") for record in parts.values())


def test_results_of_a_bundle_of_ones_own_say_what_it_was_trained_on(networks: None, tmp_path: Path) -> None:
    own = Path(shutil.copytree(BUNDLE, tmp_path / "own"))
    (own / METADATA).unlink()
    add_part(own, "damage", PartRecord("condyle train", 0, (RAM,)))
    model = HandFootScoring(HandFootScoringSettings(bundle=own)).model
    assert model.trained_on == "trained on RAM-H1200 (80 patients); research only, not for clinical use"
    shipped = HandFootScoring(HandFootScoringSettings()).model
    assert model.weights_digest != shipped.weights_digest
    assert read_metadata(own)["pipeline"] == "hand_foot_scoring"
