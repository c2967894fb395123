"""Of several packages that were exchanged at once: how much each contributes, from environments in the same turns.

A run attributes what it has whole: an environment that exchanges several packages, and one for every choice of fewer
of them, down to the backend's own: `jax`, `jax@keras==3.14.1`, `jax@jax==0.9.2`, `jax@jax==0.9.2,keras==3.14.1`.
"""

from collections.abc import Iterable, Iterator
from itertools import combinations
from math import factorial

import numpy as np
import pandas as pd

from bench.analysis import speed
from bench.analysis.statistics import medians
from bench.plan.cells import packages_of

Packages = frozenset[tuple[str, str]]
"""What an environment exchanges: names and versions."""
TOGETHER = "together"


def attribution(turns: pd.DataFrame) -> pd.DataFrame:
    """Return what each package contributes to the ratio of an epoch with all of them / with none of them.

    A package's factor depends on which of the others are exchanged already; its contribution is the mean of its factors
    over every order of exchanging them (its Shapley value, on logarithms), so that contributions multiply to the whole.

    Returns:
        run, device, model, length, threads, variant, environment (with all packages), package ("keras 3.14.1", or
        `TOGETHER`), processes, ratio with its interval, level and range, alone (its ratio without the others) and
        last (its ratio with all others exchanged).
    """
    parts = [_attribute(of_backend, str(backend)) for backend, of_backend in turns.groupby("backend", sort=False)]
    figures = [part for part in parts if len(part)]
    if not figures:
        return pd.DataFrame(columns=[*speed.KEY, "package", "processes"])
    return pd.concat(figures, ignore_index=True)


def _attribute(turns: pd.DataFrame, backend: str) -> pd.DataFrame:
    logs = speed.process_ratios(turns, backend)
    on = [name for name in speed.KEY if name != "environment"]
    wide = logs.pivot(index=[*on, "process"], columns="environment", values="log_ratio").assign(**{backend: 0.0})
    exchanged = {name: frozenset(packages_of(str(name)).items()) for name in logs["environment"].unique()}
    names: dict[Packages, str] = {packages: name for name, packages in exchanged.items() if packages}
    names[frozenset()] = backend
    parts: list[pd.DataFrame] = []
    for whole in _whole(names):
        together = wide[names[whole]]
        by_package = _contributions(wide, names, whole)
        by_package[TOGETHER] = pd.DataFrame({"ratio": together, "alone": together, "last": together})
        for package, factors in by_package.items():
            parts.append(factors.reset_index().assign(environment=names[whole], package=package))
    if not parts:
        return pd.DataFrame()
    samples = pd.concat(parts, ignore_index=True).dropna()
    key = [*speed.KEY, "package"]
    ends = samples.groupby(key)[["alone", "last"]].median().reset_index()
    figures = medians(samples, key, "ratio").merge(ends, on=key)
    logarithms = ["ratio", "ratio_low", "ratio_high", "ratio_least", "ratio_greatest", "alone", "last"]
    figures[logarithms] = np.exp(figures[logarithms])
    return figures


def _whole(names: Iterable[Packages]) -> list[Packages]:
    """Return the choices of two packages or more of which every smaller choice is there, the largest ones only."""
    known = set(names)
    whole = [choice for choice in known if len(choice) > 1 and set(_choices(choice)) <= known]
    return sorted((choice for choice in whole if not any(choice < other for other in whole)), key=sorted)


def _choices(packages: Iterable[tuple[str, str]]) -> Iterator[Packages]:
    """Yield every choice of some packages, from none to all."""
    listed = sorted(packages)
    for count in range(len(listed) + 1):
        yield from map(frozenset, combinations(listed, count))


def _contributions(wide: pd.DataFrame, names: dict[Packages, str], whole: Packages) -> dict[str, pd.DataFrame]:
    """Return by package the logarithms of its contribution (ratio), of its factor alone, and of that as the last."""
    contributions = {}
    for item in sorted(whole):
        factors = {before: wide[names[before | {item}]] - wide[names[before]] for before in _choices(whole - {item})}
        orders = {before: factorial(len(before)) * factorial(len(whole) - len(before) - 1) for before in factors}
        weighted = [factor * orders[before] for before, factor in factors.items()]
        contribution = pd.concat(weighted, axis=1).sum(axis=1, skipna=False) / factorial(len(whole))
        alone, last = factors[frozenset()], factors[whole - {item}]
        contributions[" ".join(item)] = pd.DataFrame({"ratio": contribution, "alone": alone, "last": last})
    return contributions
