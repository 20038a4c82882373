"""The scanner: stronger echoes are brighter, depth attenuates, and Doppler is coloured where there is flow."""

from dataclasses import replace

import numpy as np
import pytest

from pipelines.joint_classification.geometry import HEIGHT, WIDTH
from pipelines.joint_classification.simulation.scanner import Machine, Tissue, doppler_overlay, machine, scan

SETTINGS = Machine(0.1, 0.2, 10.0, 55.0, 3.0, 0.0, -55.0)


def tissue(strength: float) -> Tissue:
    empty = np.zeros((HEIGHT, WIDTH))
    return Tissue(np.full((HEIGHT, WIDTH), strength), empty.copy(), empty.copy(), empty.copy(), empty > 0)


def test_echoes_of_ten_times_the_amplitude_are_20_decibels_brighter() -> None:
    weak, strong = (scan(np.random.default_rng(0), tissue(strength), SETTINGS) for strength in (0.5, 5.0))
    both = (weak > 0.05) & (strong < 0.95)
    assert both.mean() > 0.5
    # noise adds a little to the weak echoes
    assert np.median((strong - weak)[both]) * SETTINGS.dynamic_range_db == pytest.approx(20.0, abs=1.0)


def test_attenuation_darkens_what_lies_deep() -> None:
    image = scan(np.random.default_rng(0), tissue(2.0), replace(SETTINGS, attenuation_db_per_mm=0.6))
    assert image[-20:].mean() < image[:20].mean() - 0.1


def test_power_doppler_is_coloured_where_there_is_flow_and_grey_elsewhere() -> None:
    flow = np.zeros((HEIGHT, WIDTH))
    flow[40:60, 50:80] = 1.0
    rgb = doppler_overlay(np.random.default_rng(0), np.full((HEIGHT, WIDTH), 0.5, np.float32), flow)
    assert (np.ptp(rgb[45:55, 55:75].astype(int), axis=-1) > 100).all()
    assert (np.ptp(rgb[:30].astype(int), axis=-1) == 0).all()


def test_a_machine_is_the_same_for_the_same_seed() -> None:
    assert machine(np.random.default_rng(5)) == machine(np.random.default_rng(5))
