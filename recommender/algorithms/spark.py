"""ALS on Apache Spark (`pyspark.ml.recommendation.ALS`), for what one machine cannot fit: `als` with `backend="spark"`.

The matrix goes to Spark as Parquet and item factors come back: the model's file is the same as without Spark, and is
served by a process that has neither Spark nor Java. The cluster is the one of the environment (`SPARK_REMOTE`,
`spark-defaults.conf`); without one Spark runs in this machine. Spark scales λ by the number of events of a person or
item (Zhou et al. 2008), hence the regularization per event here: `regularization` / mean number of events.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recommender.dataset import Csr

ROWS_PER_FILE = 5_000_000


def spark_item_factors(
    matrix: Csr, *, factors: int, regularization: float, alpha: float, iterations: int, seed: int
) -> NDArray[np.float32]:
    """Item vectors M × f; zeros for items without an interaction. Raises ValueError where there is no pyspark."""
    try:
        from pyspark.ml.recommendation import ALS
        from pyspark.sql import SparkSession
    except ImportError:
        raise ValueError("als: backend=spark needs pyspark and Java: pip install -r requirements-spark.txt") from None

    session = (
        SparkSession.builder.appName("holdout-als")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.execution.arrow.pyspark.enabled", "true")
        .getOrCreate()
    )
    with tempfile.TemporaryDirectory(prefix="holdout-als-") as folder:
        _write(matrix, Path(folder))
        events_per_row = matrix.nnz / max(1, int((np.diff(matrix.indptr) > 0).sum()))
        model = ALS(
            rank=factors,
            maxIter=iterations,
            regParam=regularization / events_per_row,
            alpha=alpha,
            implicitPrefs=True,
            seed=seed,
            userCol="user",
            itemCol="item",
            ratingCol="weight",
        ).fit(session.read.parquet(f"{folder}/*.parquet"))
        rows = model.itemFactors.toPandas()
    result = np.zeros((matrix.shape[1], factors), dtype=np.float32)
    result[rows["id"].to_numpy()] = np.stack(rows["features"].to_list())
    return result


def _write(matrix: Csr, folder: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    users = np.repeat(np.arange(matrix.shape[0], dtype=np.int32), np.diff(matrix.indptr))
    for first in range(0, matrix.nnz, ROWS_PER_FILE):
        part = slice(first, first + ROWS_PER_FILE)
        table = pa.table({"user": users[part], "item": matrix.indices[part], "weight": matrix.data[part]})
        parquet.write_table(table, folder / f"{first:012}.parquet")
