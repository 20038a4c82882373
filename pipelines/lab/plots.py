"""Figures of trainings and evaluations, drawn by matplotlib in the colours of a report's page.

Each function gives a figure that `report_page.Report.picture` writes. Nothing here opens a window or keeps a state.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score, roc_curve

from dicom_sr.capture import drawing
from pipelines.lab.measures import resamples

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

P = ParamSpec("P")
Array = NDArray[np.floating[Any]]
LIMITS = 1.96  # standard deviations to the limits of agreement (Bland and Altman 1986)
MANY = 60  # points from which on the intervals of each would hide one another
SHORT = 8  # characters of a class that fit below a column of a confusion matrix
HALF = 0.5  # axes of probabilities are cut where none is above it
NEAR = 0.06  # share of an axis within which two numbers would lie on one another
FEW = 20  # points up to which each is marked; a single one would not be seen
DPI = 110
TIME = "seconds"  # column of a log that says nothing of the network


def _hex(colour: drawing.Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


GROUND, TEXT, MUTED, RULE = (_hex(c) for c in (drawing.CARD, drawing.TEXT, drawing.MUTED, drawing.RULE))
ACCENT, WARNING = _hex(drawing.ACCENT), _hex(drawing.WARNING)
_STYLE: Any = {  # the type of each key is a literal of its own in the types of matplotlib
    "figure.facecolor": GROUND,
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "savefig.facecolor": GROUND,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.12,  # inches
    "figure.constrained_layout.w_pad": 0.12,
    "axes.facecolor": GROUND,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": TEXT,
    "axes.titleweight": "bold",
    "axes.titlesize": 12,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=[_hex(c) for c in drawing.SERIES]),
    "grid.color": RULE,
    "grid.alpha": 0.5,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "text.color": TEXT,
    "legend.facecolor": GROUND,
    "legend.edgecolor": RULE,
    "legend.framealpha": 0.8,
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "image.cmap": "viridis",
}


def _in_style(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw with the colours and sizes of the reports, and leave those of matplotlib as they were."""

    @wraps(draw)
    def drawn(*arguments: P.args, **options: P.kwargs) -> Figure:
        with mpl.rc_context(_STYLE):
            return draw(*arguments, **options)

    return drawn


@dataclass(frozen=True)
class LimitsOfAgreement:
    """How far one measurement lies from another (Bland and Altman 1986), in their unit."""

    count: int
    bias: float
    standard_deviation: float  # nan of a single difference
    lower: float
    upper: float

    @classmethod
    def of(cls, differences: Sequence[float] | Array) -> LimitsOfAgreement:
        """Of one difference for each case."""
        bias = float(np.mean(differences))
        spread = float(np.std(differences, ddof=1)) if len(differences) > 1 else float("nan")
        return cls(len(differences), bias, spread, bias - LIMITS * spread, bias + LIMITS * spread)


@_in_style
def bland_altman(
    measured: Sequence[float] | Array,
    reference: Sequence[float] | Array,
    *,
    title: str = "Agreement with the reference",
    unit: str = "",
    labels: tuple[str, str] = ("measured", "reference"),
    half_widths: Sequence[float] | Array | None = None,
    band: float | None = None,
) -> Figure:
    """Measured minus reference against the mean of both, with bias and limits of agreement.

    Parameters
    ----------
    measured, reference
        (N,) values of the same N cases.
    title
        Above the figure.
    unit
        Of the values.
    labels
        Who measured, and the reference.
    half_widths
        (N,) half widths of the intervals that were stated with the measured values; they are left out where there
        are so many that they would hide one another.
    band
        A difference that does not matter; the band from it to its negative is shaded.
    """
    first, second = np.asarray(measured, np.float64), np.asarray(reference, np.float64)
    means, differences = (first + second) / 2, first - second
    limits = LimitsOfAgreement.of(differences)
    one, two = labels
    figure, axes = _one(title, (8.2, 5.4), _in(unit, f"mean of {one} and {two}"), _in(unit, f"{one} - {two}"))
    axes.axhline(0, color=RULE)
    if band is not None:
        axes.axhspan(-band, band, color=ACCENT, alpha=0.12, lw=0, label=f"within {band:g}{_after(unit)}")
    if half_widths is not None and len(means) <= MANY:
        axes.errorbar(means, differences, np.asarray(half_widths), fmt="none", ecolor=ACCENT, alpha=0.4, lw=1)
    axes.scatter(means, differences, s=28, color=ACCENT, edgecolors=GROUND, zorder=3)
    axes.axhline(limits.bias, color=WARNING, label=f"bias {limits.bias:+.3g}")
    if np.isfinite(limits.standard_deviation):
        axes.axhline(limits.upper, color=WARNING, ls="--", label=f"limits {limits.lower:+.3g} to {limits.upper:+.3g}")
        axes.axhline(limits.lower, color=WARNING, ls="--")
    axes.margins(x=0.08, y=0.12)
    axes.legend(loc="best", fontsize=9)
    return figure


@_in_style
def reliability(
    bins: Sequence[tuple[float, float, float]],
    *,
    title: str = "Reliability",
    labels: tuple[str, str] = ("confidence", "share that is right"),
) -> Figure:
    """How often something comes true against the probability that was given to it.

    Parameters
    ----------
    bins
        Mean probability, share that came true, and number of cases (or their share); one for each bin with cases. The
        number stands beside a bin where there is room for it.
    title
        Above the figure.
    labels
        Of both axes.
    """
    figure, axes = _one(title, (5.6, 5.4), *labels)
    axes.plot([0, 1], [0, 1], color=MUTED, lw=1, ls="--", label="as it should be")
    given, true, counts = np.array(bins, np.float64).reshape(-1, 3).T
    highest = max([*given, *true], default=1.0)
    end = (
        1.0 if highest > HALF else max(0.1, np.ceil(11 * highest) / 10)
    )  # low risks would lie on one another in a corner
    most = counts.max(initial=0.0)
    axes.plot(given, true, color=ACCENT)
    axes.scatter(
        given,
        true,
        s=[30 + 220 * count / most for count in counts],
        color=ACCENT,
        edgecolors=GROUND,
        zorder=3,
        clip_on=False,
    )
    numbered: list[tuple[float, float]] = []
    for x, y, count in zip(given, true, counts, strict=True):
        if any(abs(x - other) < NEAR * end and abs(y - level) < NEAR * end for other, level in numbered):
            continue
        numbered.append((x, y))
        below = y > 0.15 * end
        words = f"{count:.0f}" if count >= 1 else f"{count:.0%}"
        axes.annotate(
            words,
            (x, y),
            (0, -12 if below else 12),
            textcoords="offset points",
            ha="center",
            va="top" if below else "bottom",
            fontsize=9,
        )
    axes.set(xlim=(0, end), ylim=(0, end), aspect="equal")
    axes.legend(loc="upper left", fontsize=9)
    return figure


@_in_style
def confusion(
    tables: Mapping[str, NDArray[np.integer[Any]]],
    classes: Sequence[str] | None = None,
    *,
    title: str = "",
    labels: tuple[str, str] = ("read", "reference"),
) -> Figure:
    """Numbers of cases by class of the reference (down) and class read (across), one table for each group.

    A cell's colour is its share of the cases of that reference; those on the diagonal have a frame.

    Parameters
    ----------
    tables
        Group to (K, K) numbers, the reference along the first axis.
    classes
        K names; None: 0 to K - 1.
    title
        Above the figure.
    labels
        Of what is read and of the reference.
    """
    size = max(len(table) for table in tables.values())
    side = 1.4 + 0.48 * size
    beyond = max(0, max(map(len, classes or ("",))) - SHORT)  # characters, of the longest name
    columns = min(3, len(tables))
    rows = -(-len(tables) // columns)
    figure = Figure(figsize=(columns * (side + 0.09 * beyond), rows * (side + 0.3 + 0.07 * beyond) + 0.3 * bool(title)))
    if title:
        figure.suptitle(title, fontweight="bold")
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (name, table) in zip(places, tables.items(), strict=False):
        _confusion(axes, table, [str(n) for n in range(len(table))] if classes is None else list(classes))
        axes.set(title=name, xlabel=labels[0], ylabel=labels[1])
    for axes in places[len(tables) :]:
        axes.set_visible(False)
    return figure


def _confusion(axes: Axes, table: NDArray[np.integer[Any]], names: Sequence[str]) -> None:
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, vmin=0, vmax=1, aspect="equal")
    axes.grid(visible=False)
    axes.set_xticks(range(len(table)), names)
    if max(map(len, names)) > SHORT:
        for label in axes.get_xticklabels():
            label.set(rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(table)), names)
    for (row, column), count in np.ndenumerate(table):
        if count:
            ink = GROUND if shares[row, column] > 0.6 else TEXT
            axes.text(column, row, str(count), ha="center", va="center", color=ink, fontsize=9)
    for place in range(len(table)):
        axes.add_patch(mpl.patches.Rectangle((place - 0.5, place - 0.5), 1, 1, fill=False, ec=MUTED))


@_in_style
def roc(
    truth: NDArray[Any],
    scores: Mapping[str, Array],
    *,
    groups: NDArray[Any] | None = None,
    title: str = "ROC",
    draws: int = 500,
    seed: int = 0,
) -> Figure:
    """ROC curves with their area and its 95 % interval, by bootstrap over cases or groups of cases.

    Parameters
    ----------
    truth
        (N,) whether a case is positive.
    scores
        Name of a method to (N,) scores, higher for positive ones.
    groups
        (N,) patient of each case: whole patients are drawn; None: cases.
    title
        Above the figure.
    draws
        Number of bootstrap samples.
    seed
        Of the samples.
    """
    figure, axes = _one(title, (6.0, 5.6), "1 - specificity", "sensitivity")
    axes.plot([0, 1], [0, 1], color=MUTED, lw=1, ls="--")
    grid = np.linspace(0, 1, 101)
    for name, score in scores.items():
        across, up, _ = roc_curve(truth, score)
        curves, areas = _resampled(np.asarray(truth), np.asarray(score), groups, grid, draws, seed)
        words = f"{name}: {roc_auc_score(truth, score):.3f}"
        (line,) = axes.plot(across, up)
        if areas:
            low, high = np.quantile(areas, (0.025, 0.975))
            axes.fill_between(
                grid, *np.quantile(curves, (0.025, 0.975), axis=0), color=line.get_color(), alpha=0.18, lw=0
            )
            words += f" ({low:.3f} to {high:.3f})"
        line.set_label(words)
    axes.set(xlim=(0, 1), ylim=(0, 1.01), aspect="equal")
    axes.legend(loc="lower right", title="area and its 95 % interval", fontsize=9, title_fontsize=9)
    return figure


def _resampled(
    truth: NDArray[Any], score: Array, groups: NDArray[Any] | None, grid: Array, draws: int, seed: int
) -> tuple[list[Array], list[float]]:
    """Sensitivities on a grid of 1 - specificity, and areas, of samples in which both kinds of cases occur."""
    curves, areas = [], []
    for rows in resamples(np.arange(len(truth)) if groups is None else groups, draws, seed):
        if len(np.unique(truth[rows])) == 2:
            across, up, _ = roc_curve(truth[rows], score[rows])
            curves.append(np.interp(grid, across, up))
            areas.append(float(np.trapezoid(up, across)))
    return curves, areas


@_in_style
def histogram(
    values: Mapping[str, Sequence[float] | Array],
    *,
    label: str,
    title: str = "",
    marks: Mapping[str, float] | None = None,
    bins: int = 40,
) -> Figure:
    """How the values of some groups are spread, as shares of each group.

    Parameters
    ----------
    values
        Group to its values; those that are no numbers are left out.
    label
        What is measured, with its unit.
    title
        Above the figure.
    marks
        Limits that are drawn as lines, by name.
    bins
        Number of bins, the same for all groups.
    """
    figure, axes = _one(title, (8.2, 4.6), label, "share of the cases")
    known = {name: np.asarray(v, np.float64)[np.isfinite(np.asarray(v, np.float64))] for name, v in values.items()}
    known = {name: v for name, v in known.items() if len(v)}
    if known:
        edges = np.histogram_bin_edges(np.concatenate(list(known.values())), bins)
        for name, v in known.items():
            weights = np.full(len(v), 1 / len(v))
            axes.hist(v, list(edges), weights=weights, histtype="stepfilled", alpha=0.55, label=f"{name} ({len(v)})")
    for name, place in (marks or {}).items():
        axes.axvline(place, color=WARNING, ls="--", label=f"{name}: {place:.3g}")
    axes.legend(loc="best", fontsize=9)
    return figure


@_in_style
def learning_curves(log: Path, *, title: str = "Training") -> Figure:
    """The columns of a training's log against its first one, one panel for each; positive ones on a logarithmic axis.

    That of the time is left out.

    Parameters
    ----------
    log
        CSV with a heading: step (or epoch), then figures; empty cells are left out.
    title
        Above the figure.

    Raises
    ------
    ValueError
        If the log holds no figures.
    """
    with log.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    along, *names = rows[0].keys() if rows else [""]
    names = [name for name in names if name != TIME]
    curves = {name: _curve(rows, along, name) for name in names}
    curves = {name: points for name, points in curves.items() if points}
    if not curves:
        raise ValueError(f"{log}: holds no figures of a training")
    figure = Figure(figsize=(8.2, 0.6 + 2.4 * len(curves)))
    figure.suptitle(title, fontweight="bold")
    for axes, (name, points) in zip(
        figure.subplots(len(curves), 1, sharex=True, squeeze=False).ravel(), curves.items(), strict=True
    ):
        steps, values = zip(*points, strict=True)
        means = _running_means(values)
        marker = "o" if len(values) < FEW else ""
        axes.plot(steps, values, lw=1.2, marker=marker, ms=4, alpha=0.35 if means is not None else 1.0)
        if means is not None:
            axes.plot(steps, means, lw=1.6, color=ACCENT)
        axes.set_ylabel(name.replace("_", " "))
        if min(values) > 0 and max(values) > 10 * min(values):
            axes.set_yscale("log")
    axes.set_xlabel(along)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return figure


def _running_means(values: Sequence[float]) -> Array | None:
    """Means (N,) over a fiftieth of the values before each, of a long curve; None of a short one."""
    reach = len(values) // 50
    if reach < 2:
        return None
    sums = np.cumsum([0.0, *values])
    begin = np.maximum(np.arange(len(values)) + 1 - reach, 0)
    return np.asarray((sums[1:] - sums[begin]) / (np.arange(len(values)) + 1 - begin))


def _curve(rows: Sequence[Mapping[str, str]], along: str, name: str) -> list[tuple[float, float]]:
    """The points of a column that holds numbers; none of one that holds words."""
    try:
        return [(float(row[along]), float(row[name])) for row in rows if row[along] and row[name]]
    except ValueError:
        return []


@_in_style
def curves(
    along: Sequence[float] | Array,
    values: Mapping[str, Sequence[float] | Array],
    *,
    title: str = "",
    labels: tuple[str, str] = ("", ""),
) -> Figure:
    """Lines over one axis, such as the net benefit over the threshold; zero has a line of its own.

    Parameters
    ----------
    along
        (N,) places on the axis across.
    values
        Name of a line to its (N,) values.
    title
        Above the figure.
    labels
        Of both axes.
    """
    figure, axes = _one(title, (8.2, 4.6), *labels)
    axes.axhline(0, color=RULE)
    for name, line in values.items():
        axes.plot(along, line, label=name)
    # a line that falls far below the others would leave no room to tell them apart
    lowest = min(float(np.max(line)) for line in values.values())
    highest = max(float(np.max(line)) for line in values.values())
    axes.set_ylim(bottom=min(0.0, lowest) - 0.15 * (highest - min(0.0, lowest) or 1.0))
    axes.legend(loc="best", fontsize=9)
    return figure


@dataclass(frozen=True)
class Share:
    """A share with its interval, 0..1 each, of so many cases; without a value there were too few."""

    name: str
    cases: int
    value: float | None = None
    interval: tuple[float, float] | None = None


@_in_style
def shares(groups: Mapping[str, Sequence[Share]], *, title: str = "", label: str = "share") -> Figure:
    """Shares with their intervals, one below the other, under the name of each group; with the number of cases.

    Parameters
    ----------
    groups
        Name of a group to its shares.
    title
        Above the figure.
    label
        What is shared.
    """
    rows: list[tuple[str, Share | None]] = []
    for name, found in groups.items():
        rows += [*([(name, None)] if name else []), *((one.name, one) for one in found)]
    figure, axes = _one(title, (8.2, 1.3 + 0.34 * len(rows)), label, "")
    for place, (_, share) in enumerate(rows):
        if share is None:
            continue
        told = f"{share.cases}" if share.value is not None else f"{share.cases}, too few"
        axes.annotate(told, (1.02, place), xycoords=("axes fraction", "data"), va="center", fontsize=9, color=MUTED)
        if share.value is None:
            continue
        if share.interval is not None:
            axes.plot(share.interval, (place, place), color=ACCENT, lw=2.5, alpha=0.55, solid_capstyle="round")
        axes.scatter([share.value], [place], s=46, color=ACCENT, edgecolors=GROUND, zorder=3, clip_on=False)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    for tick, (_, share) in zip(axes.get_yticklabels(), rows, strict=True):
        tick.set(fontweight="normal" if share else "bold", color=TEXT)
    axes.set(xlim=(0, 1), ylim=(len(rows) - 0.5, -0.5))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    return figure


@_in_style
def panels(
    images: Mapping[str, NDArray[Any]],
    *,
    columns: int = 4,
    title: str = "",
    colour_map: str = "gray",
    limits: tuple[float, float] | None = None,
    label: str = "",
) -> Figure:
    """Pictures or maps side by side, each below its name.

    Parameters
    ----------
    images
        Name to (H, W), or (H, W, 3) colours.
    columns
        At most so many beside each other.
    title
        Above the figure.
    colour_map
        Of matplotlib; one such as "inferno" for maps of errors.
    limits
        Values of the darkest and the brightest colour; None: those of each image.
    label
        What the colours mean, with its unit: a bar beside the images says it; without limits there is no bar.
    """
    across = min(columns, len(images))
    down = -(-len(images) // across)
    ratio = float(np.mean([image.shape[0] / image.shape[1] for image in images.values()]))
    figure = Figure(figsize=(3.0 * across, down * (3.0 * ratio + 0.35) + 0.35 * bool(title)))
    if title:
        figure.suptitle(title, fontweight="bold")
    places = figure.subplots(down, across, squeeze=False).ravel()
    low, high = limits or (None, None)
    for axes, (name, image) in zip(places, images.items(), strict=False):
        drawn = axes.imshow(image, cmap=colour_map, vmin=low, vmax=high)
        axes.set_title(name, fontsize=10, fontweight="normal")
    for axes in places:
        axes.set_axis_off()
    if label and limits is not None:
        figure.colorbar(drawn, ax=list(places), label=label, shrink=0.7)
    return figure


def _one(title: str, size: tuple[float, float], x_label: str, y_label: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size)
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=x_label, ylabel=y_label)
    return figure, axes


def _after(unit: str) -> str:
    return f" {unit}" if unit else ""


def _in(unit: str, words: str) -> str:
    return f"{words}, {unit}" if unit else words
