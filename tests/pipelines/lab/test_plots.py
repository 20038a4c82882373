"""Figures of trainings and evaluations: what is drawn lies at its value."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from sklearn.metrics import roc_auc_score

from pipelines.lab import plots
from pipelines.lab.plots import LimitsOfAgreement


def pixels(figure: Figure) -> np.ndarray:
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return np.asarray(Image.open(stream).convert("RGB"))


def words(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def legend(figure: Figure) -> list[str]:
    found = figure.axes[0].get_legend()
    assert found is not None
    return [text.get_text() for text in found.get_texts()]


def test_limits_of_agreement_are_those_of_bland_and_altman() -> None:
    limits = LimitsOfAgreement.of([1.0, 2.0, 3.0])
    assert (limits.count, limits.bias, limits.standard_deviation) == (3, 2.0, 1.0)
    assert (limits.lower, limits.upper) == pytest.approx((0.04, 3.96))


def test_differences_are_drawn_against_means_with_bias_and_limits() -> None:
    figure = plots.bland_altman([11, 22, 33], [10, 20, 30], unit="units", half_widths=[1, 2, 3], band=5)
    axes = figure.axes[0]
    (points,) = (np.asarray(one.get_offsets()) for one in axes.collections if len(np.asarray(one.get_offsets())) == 3)
    assert np.allclose(points, [(10.5, 1), (21, 2), (31.5, 3)])
    assert legend(figure) == ["within 5 units", "bias +2", "limits +0.04 to +3.96"]
    assert axes.get_xlabel() == "mean of measured and reference, units"
    named = plots.bland_altman([11, 22], [10, 20], labels=("candidate", "knee")).axes[0]
    assert (named.get_xlabel(), named.get_ylabel()) == ("mean of candidate and knee", "candidate - knee")


def test_the_limits_of_a_single_case_are_unknown_and_not_drawn() -> None:
    figure = plots.bland_altman([3.0], [1.0])
    assert legend(figure) == ["bias +2"]
    assert pixels(figure).std() > 1


def test_intervals_of_very_many_cases_are_left_out() -> None:
    many = np.arange(plots.MANY + 1.0)
    assert len(plots.bland_altman(many, many / 2, half_widths=many).axes[0].containers) == 0
    assert len(plots.bland_altman(many[1:], many[1:] / 2, half_widths=many[1:]).axes[0].containers) == 1


def test_a_bin_of_a_reliability_diagram_lies_at_its_confidence_and_share_with_its_count() -> None:
    figure = plots.reliability([(0.55, 0.5, 10), (0.9, 0.95, 90)])
    curve = figure.axes[0].lines[1]
    assert np.allclose(np.asarray(curve.get_xydata()), [(0.55, 0.5), (0.9, 0.95)])
    assert words(figure) == ["10", "90"]
    assert words(plots.reliability([(0.5, 0.4, 0.25)])) == ["25%"]
    assert words(plots.reliability([])) == []


def test_a_confusion_matrix_has_the_reference_down_and_colours_shares_of_it() -> None:
    table = np.array([[6, 2, 0], [0, 0, 0], [1, 0, 3]])
    figure = plots.confusion({"MCP": table, "wrist": table.T}, ["healthy", "mild", "severe"], title="Erosion")
    first = figure.axes[0]
    shares = np.asarray(first.images[0].get_array())
    assert shares.tolist() == [[0.75, 0.25, 0], [0, 0, 0], [0.25, 0, 0.75]]
    assert {(t.get_position(), t.get_text()) for t in first.texts} == {
        ((0, 0), "6"),
        ((1, 0), "2"),
        ((0, 2), "1"),
        ((2, 2), "3"),
    }
    assert [label.get_text() for label in first.get_yticklabels()] == ["healthy", "mild", "severe"]
    assert [axes.get_title() for axes in figure.axes] == ["MCP", "wrist"]


def test_long_names_of_classes_stand_aslant_below_a_confusion_matrix() -> None:
    names = (["HC", "PsA"], ["HC", "psoriatic arthritis"])
    short, long = (plots.confusion({"all": np.eye(2, dtype=int)}, of) for of in names)
    turned = [[label.get_rotation() for label in figure.axes[0].get_xticklabels()] for figure in (short, long)]
    assert turned == [[0, 0], [40, 40]]
    assert long.get_size_inches()[0] > short.get_size_inches()[0]


def test_five_groups_get_a_table_each_and_no_empty_one() -> None:
    tables = {str(n): np.eye(2, dtype=int) for n in range(5)}
    assert sum(axes.get_visible() for axes in plots.confusion(tables).axes) == 5


def test_a_roc_curve_says_its_area_with_an_interval_that_patients_make_wider() -> None:
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(40), 5)  # five alike cases of each
    truth = patients % 2
    score = truth + np.repeat(rng.normal(0, 1.2, 40), 5) + rng.normal(0, 0.01, 200)
    area = roc_auc_score(truth, score)

    def interval(figure: Figure) -> tuple[float, float]:
        text = legend(figure)[0]
        assert text.startswith(f"a: {area:.3f} (")
        low, high = text.split("(")[1].rstrip(")").split(" to ")
        return float(low), float(high)

    by_case = interval(plots.roc(truth, {"a": score}))
    by_patient = interval(plots.roc(truth, {"a": score}, groups=patients))
    assert by_patient[0] < by_case[0] < area < by_case[1] < by_patient[1]
    assert interval(plots.roc(truth, {"a": score})) == by_case  # the same seed, the same interval


def test_the_bars_of_a_histogram_are_shares_of_each_group() -> None:
    figure = plots.histogram(
        {"known": [0.0, 1.0, 2.0, 3.0], "foreign": [3.0, np.nan], "none": [np.nan]},
        label="distance",
        marks={"limit": 2},
    )
    heights = [np.asarray(patch.get_path().vertices)[:, 1].max() for patch in figure.axes[0].patches]
    assert heights == [0.25, 1.0]  # four values in four bins, and one that is known
    assert legend(figure) == ["known (4)", "foreign (1)", "limit: 2"]


def test_the_curves_of_a_log_have_a_panel_for_each_column_of_numbers(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    rows = ("step,loss,rate,phase,seconds", "0,10.0,0.1,easy,1", "50,0.5,,easy,2", "100,0.1,0.2,hard,3")
    log.write_text("\n".join(rows), encoding="utf-8")
    figure = plots.learning_curves(log)
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "rate"]
    assert np.allclose(np.asarray(figure.axes[0].lines[0].get_xydata()), [(0, 10), (50, 0.5), (100, 0.1)])
    assert np.allclose(np.asarray(figure.axes[1].lines[0].get_xydata()), [(0, 0.1), (100, 0.2)])
    assert [axes.get_yscale() for axes in figure.axes] == ["log", "linear"]
    assert figure.axes[-1].get_xlabel() == "step"


def test_a_long_curve_is_drawn_with_its_running_mean(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("step,loss\n" + "".join(f"{n},{n % 2}\n" for n in range(200)), encoding="utf-8")
    noisy, mean = (np.asarray(line.get_ydata()) for line in plots.learning_curves(log).axes[0].lines)
    assert set(noisy) == {0, 1}
    assert np.allclose(mean[3:], 0.5)  # over four steps
    assert mean[0] == 0


def test_low_risks_have_the_whole_of_the_axes() -> None:
    (axes,) = plots.reliability([(0.02, 0.03, 50), (0.2, 0.17, 40)]).axes
    assert axes.get_xlim() == axes.get_ylim() == pytest.approx((0, 0.3))
    (axes,) = plots.reliability([(0.02, 0.03, 50), (0.6, 0.17, 40)]).axes
    assert axes.get_xlim() == (0, 1)


def test_numbers_of_bins_do_not_lie_on_one_another() -> None:
    (axes,) = plots.reliability([(0.02, 0.1, 50), (0.03, 0.12, 40), (0.6, 0.5, 30)]).axes
    assert [text.get_text() for text in axes.texts] == ["50", "30"]


def test_a_training_of_one_step_is_seen(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("step,loss\n1,0.5\n", encoding="utf-8")
    (axes,) = plots.learning_curves(log).axes
    assert axes.lines[0].get_marker() == "o"
    assert all(float(tick).is_integer() for tick in axes.get_xticks())


def test_a_log_without_figures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("step,loss\n", encoding="utf-8")
    with pytest.raises(ValueError, match="holds no figures"):
        plots.learning_curves(tmp_path / "log.csv")


def test_maps_share_their_colours_and_a_bar() -> None:
    maps = {"a": np.zeros((4, 8)), "b": np.ones((4, 8))}
    figure = plots.panels(maps, columns=2, colour_map="inferno", limits=(0, 2), label="error, mm")
    assert [axes.images[0].get_clim() for axes in figure.axes[:2]] == [(0, 2), (0, 2)]
    assert figure.axes[2].get_ylabel() == "error, mm"


def test_the_style_of_the_reports_does_not_leak() -> None:
    before = dict(mpl.rcParams)
    plots.reliability([(0.5, 0.5, 3)])
    assert dict(mpl.rcParams) == before


def test_shares_stand_below_each_other_and_too_few_cases_have_no_mark() -> None:
    groups = {
        "": [plots.Share("all", 40, 0.8, (0.7, 0.9))],
        "month": [plots.Share("2026-10", 36, 0.75, (0.6, 0.85)), plots.Share("2026-11", 4)],
    }
    (axes,) = plots.shares(groups, title="Accepted", label="share").axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["all", "month", "2026-10", "2026-11"]
    assert [text.get_text() for text in axes.texts] == ["40", "36", "4, too few"]
    assert [np.shape(one.get_offsets())[0] for one in axes.collections] == [1, 1]
    assert [tuple(np.asarray(line.get_xdata())) for line in axes.lines] == [(0.7, 0.9), (0.6, 0.85)]
