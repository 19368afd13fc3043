"""Statistics of randomized experiments, as a library: numpy and scipy, no Django.

Everything is vectorized: a function takes arrays of any common shape (metrics × arms × segments
× days) and returns frozen dataclasses of arrays. Control comes first, treatment second; an effect
is treatment minus control; a lift is treatment over control, minus one.

Undefined numbers are NaN in arrays, with a `Reason` beside them; a scalar view (`.at(index)`)
turns them into `None` with the reason, which is what pages and JSON show.

The way through it: values or sums become `Aggregates` (`aggregates`), aggregates become one
`Estimate` per arm (`mean`, `proportion`, `ratio`, `quantile`, `cuped`, `regression`,
`stratification`), two estimates become a `Comparison` (`estimates.compare`). Few events go through
`exact`. Looks over time, posteriors, corrections, health, planning and verdicts take a comparison's
arrays. The few methods that need the values of single units live in `rows`.

>>> from experiments.stats.aggregates import aggregate
>>> from experiments.stats.cuped import compare_adjusted
>>> revenue = {"y": [4.0, 7.0, 2.0, 9.0, 6.0, 10.0, 5.0, 12.0], "x": [3.0, 6.0, 2.0, 8.0, 3.0, 7.0, 2.0, 8.0]}
>>> cells = aggregate(revenue, groups=[0, 0, 0, 0, 1, 1, 1, 1])
>>> result = compare_adjusted(cells[0], cells[1], outcome="y", covariates=["x"])
>>> result.raw.at().effect, round(result.adjusted.at().effect, 3), round(float(result.variance_saved), 3)
(2.75, 2.464, 0.986)
"""
