"""Class weights as numbers: how they follow from recall, and what may be given as one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Weights = Mapping[str, float] | Sequence[float]  # by class name, or one for each class in order


def difficulty_weights(recall: Sequence[float], floor: float) -> NDArray[np.float64]:
    """CDB-W weights with dynamic tau, float64 [classes] of mean 1; 1 where recall is NaN."""
    accuracy = np.asarray(recall, np.float64)
    weights = np.ones(len(accuracy))
    known = ~np.isnan(accuracy)
    if known.any():
        there = accuracy[known]
        tau = 1 / (1 + math.exp(-there.max() / (there.min() + 0.01)))
        raw = np.maximum((1 - there) ** tau, floor)
        weights[known] = raw / raw.mean()
    return weights


def initial_weights(given: Weights | None, names: list[str] | None) -> NDArray[np.float64] | None:
    """Weights to start with, float64 [classes]; what a mapping does not name is 1. None for none.

    Raises:
        ValueError: they can't be weights, or do not fit the names.
    """
    if given is None:
        return None
    if isinstance(given, Mapping):
        if names is None:
            raise ValueError("initial weights by name need class_names=[...], too, which say the order")
        return in_order({**dict.fromkeys(names, 1.0), **checked_names(given, names)}, names)
    values = checked(given)
    if names is not None and len(values) != len(names):
        raise ValueError(f"there are {len(values)} initial weights for {len(names)} class_names")
    if len(values) < 2:
        raise ValueError("initial weights must be two at least, one for each class")
    return values


def checked_names(given: Mapping[str, float], names: list[str]) -> dict[str, float]:
    """Weights of some of the classes; ValueError if one is none of ``names``, or no weight."""
    unknown = [name for name in given if name not in names]
    if unknown:
        raise ValueError(f"there is no class {unknown[0]!r} to give a weight; there are {', '.join(names)}")
    return dict(zip(given, checked(given.values()).tolist(), strict=True))


def checked(given: Iterable[float]) -> NDArray[np.float64]:
    """``given`` as float64 [n]; ValueError unless all are finite and above 0."""
    values = np.asarray(list(given), np.float64)
    if values.ndim != 1:
        raise ValueError("weights must be one number for each class")
    wrong = values[~(np.isfinite(values) & (values > 0))]
    if len(wrong):
        raise ValueError(f"weights must be finite and above 0, not {wrong[0]}")
    return values


def in_order(weights: Mapping[str, float], names: list[str]) -> NDArray[np.float64]:
    """The weights of ``names``, float64 [classes]."""
    return np.array([weights[name] for name in names], np.float64)
