"""Forecast the range of a day's usage from the days before it. Pure arithmetic on arrays.

The expectation is the usage of this weekday over two months, once at the level of the last week and once
at the level of the last month. Only usage that fits neither is unusual: so neither a holiday week nor the
return from it raises an alarm twice, and a new level is adopted within days. The range around it is as
wide as the series has missed its expectation before, on all days or on this weekday alone, whichever is
wider: weekends are often far less regular than working days. Everything is a median or a quantile of
logarithms: past anomalies hardly move it, and noise may grow with usage.
"""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[np.float64]

WEEKS = 8  # of the same weekday
LEVELS = (7, 28)  # days
SPREAD_DAYS = 84
WIDTH = 3.75  # robust standard deviations
LEAST_CHANGE = 0.1  # a change of a tenth never opens an alert
LEAST_DAYS = 28  # known days before the first judgement
BLUNT = 0.05  # of the usual usage, added before the logarithm: near nothing is as good as nothing

REACH = SPREAD_DAYS + LEVELS[1] + 7 * WEEKS  # days that a judgement looks back

# Quantiles of the misses, and how many standard deviations each is for a normal series.
_ALL, _ALL_NORMAL = 0.7, 1.0364
_OWN, _OWN_NORMAL = 0.8, 1.2816  # of the twelve misses on the same weekday
_STEPS = 0.95  # of usage that is mostly the same: a few large transfers a day come in steps


@dataclass(frozen=True)
class Bands:
    """The range of usage expected of each series; NaN where nothing can be expected."""

    low: Array
    expected: Array
    high: Array


def expected(past: Array) -> Bands:
    """Return the bands of the day after `past`: the usage of n series on REACH days, NaN where unknown."""
    past = _since_first_use(past)
    blunt = np.maximum(1.0, BLUNT * quantile(past, 0.5))[:, None]
    x = np.log(past + blunt)
    x = np.concatenate([x, np.full((len(x), 1), np.nan)], axis=1)  # the day itself, unknown here
    usual = quantile(_same_weekday(x), 0.5)
    off = x[:, -usual.shape[1] :] - usual
    levels = np.stack([_level(off, days) for days in LEVELS])
    fits = usual[:, -levels.shape[2] :] + levels
    missed = np.abs(x[:, -fits.shape[2] :] - fits.mean(axis=0))[:, :-1]
    own = missed[:, ::-1][:, 6::7]
    spread = WIDTH * np.maximum(quantile(missed, _ALL) / _ALL_NORMAL, quantile(own, _OWN) / _OWN_NORMAL)
    spread = np.where(spread < LEAST_CHANGE, np.maximum(spread, 1.1 * quantile(missed, _STEPS)), spread)
    judged = _enough(past)
    today = np.where(judged, fits[:, :, -1], np.nan)
    bounds = (today.min(axis=0) - spread, today.mean(axis=0), today.max(axis=0) + spread)
    return _widen(today, bounds, blunt[:, 0])


def _widen(today: Array, bounds: tuple[Array, Array, Array], blunt: Array) -> Bands:
    """Widen the bands to counting noise, and to LEAST_CHANGE."""
    least, middle, most = (np.maximum(np.exp(value) - blunt, 0) for value in bounds)
    low, high = (np.maximum(np.exp(value) - blunt, 0) for value in (today.min(axis=0), today.max(axis=0)))
    counting = WIDTH * np.sqrt(np.maximum(high, 1))
    return Bands(
        np.maximum(0, np.minimum.reduce([least, low - counting, low * (1 - LEAST_CHANGE)])),
        middle,
        np.maximum.reduce([most, high + counting, high * (1 + LEAST_CHANGE)]),
    )


def _since_first_use(past: Array) -> Array:
    return np.where(np.cumsum(np.nan_to_num(past), axis=1) > 0, past, np.nan)


def _enough(past: Array) -> NDArray[np.bool_]:
    """Return which series are known on LEAST_DAYS, and used on half of the last two months' days."""
    recent = past[:, -7 * WEEKS :]
    known_days = np.isfinite(recent).sum(axis=1)
    used = (np.nan_to_num(recent) > 0).sum(axis=1)
    enough: NDArray[np.bool_] = (known_days >= LEAST_DAYS) & (2 * used >= known_days)
    return enough


def _same_weekday(x: Array) -> Array:
    """Return for each day with WEEKS weeks before it the usage on its weekday in those weeks."""
    return sliding_window_view(x, 7 * WEEKS + 1, axis=1)[..., :-1:7]


def _level(off: Array, days: int) -> Array:
    """Return the deviation of the days before from their weekday, for SPREAD_DAYS and the day itself."""
    before = sliding_window_view(off, days + 1, axis=1)[:, -SPREAD_DAYS - 1 :, :-1]
    return np.nan_to_num(quantile(before, 0.5))


def quantile(values: Array, share: float) -> Array:
    """Return the quantile of the last axis without NaN; numpy's nanquantile takes 100 times as long."""
    ordered = np.sort(values, axis=-1)
    at = share * np.maximum(np.isfinite(values).sum(axis=-1, keepdims=True) - 1, 0)
    floor = np.floor(at).astype(np.intp)
    ceiling = np.ceil(at).astype(np.intp)
    low, high = (np.take_along_axis(ordered, index, axis=-1) for index in (floor, ceiling))
    value: Array = (low + (at - floor) * (high - low))[..., 0]
    return value
