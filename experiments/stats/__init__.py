"""Statistics of randomized experiments, as a library: numpy and scipy, no Django.

Everything is vectorized: a function takes arrays of any common shape (metrics × arms × segments
× days) and returns frozen dataclasses of arrays. Control comes first, treatment second; an effect
is treatment minus control; a lift is treatment over control, minus one.

Undefined numbers are NaN in arrays, with a `Reason` beside them; a scalar view (`.at(index)`)
turns them into `None` with the reason, which is what pages and JSON show.

Sufficient statistics come from `experiments.stats.aggregates`; the few methods that need the
values of single units live in `experiments.stats.rows`.
"""
