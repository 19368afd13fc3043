WITH "t8" AS (
  SELECT
    "t3"."unit",
    MIN("t3"."arm") AS "arm",
    MAX("t3"."arm") AS "last_arm",
    MIN("t3"."phase") AS "phase",
    MIN("t3"."first_at") AS "first_at"
  FROM (
    SELECT
      *
    FROM "exposures" AS "t0"
    WHERE
      "t0"."first_at" < 1775037600000000
  ) AS "t3"
  GROUP BY
    1
)
SELECT
  *
FROM (
  SELECT
    "t12"."unit",
    "t12"."arm",
    "t12"."phase",
    "t12"."first_at",
    COALESCE("t22"."total_0", 0) AS "total_0",
    COALESCE("t22"."before_0", 0) AS "before_0",
    COALESCE("t22"."total_1", 0) AS "total_1",
    COALESCE("t22"."before_1", 0) AS "before_1",
    COALESCE("t23"."total_2", 0) AS "total_2"
  FROM (
    SELECT
      "t9"."unit",
      "t9"."arm",
      "t9"."phase",
      "t9"."first_at"
    FROM "t8" AS "t9"
    WHERE
      "t9"."arm" = "t9"."last_arm"
  ) AS "t12"
  LEFT OUTER JOIN (
    SELECT
      "t18"."unit" AS "event_unit_0",
      "t18"."total_0",
      "t18"."before_0",
      "t18"."total_1",
      "t18"."before_1"
    FROM (
      SELECT
        "t16"."unit",
        MAX(
          CAST(CASE
            WHEN "t16"."type" IN ('Order Completed')
            AND (
              (
                "t16"."at" >= (
                  "t16"."first_at" + 0
                )
              )
              AND (
                "t16"."at" < (
                  "t16"."first_at" + 604800000000
                )
              )
            )
            THEN 1
            ELSE 0
          END AS BIGINT)
        ) AS "total_0",
        MAX(
          CAST(CASE
            WHEN "t16"."type" IN ('Order Completed')
            AND (
              (
                "t16"."at" >= (
                  "t16"."first_at" - 1209600000000
                )
              )
              AND (
                "t16"."at" < "t16"."first_at"
              )
            )
            THEN 1
            ELSE 0
          END AS BIGINT)
        ) AS "before_0",
        SUM(
          CASE
            WHEN TRUE
            AND (
              (
                "t16"."at" >= (
                  "t16"."first_at" + 0
                )
              )
              AND (
                "t16"."at" < (
                  "t16"."first_at" + 604800000000
                )
              )
            )
            THEN COALESCE("t16"."value", 0)
            ELSE 0
          END
        ) AS "total_1",
        SUM(
          CASE
            WHEN TRUE
            AND (
              (
                "t16"."at" >= (
                  "t16"."first_at" - 1209600000000
                )
              )
              AND (
                "t16"."at" < "t16"."first_at"
              )
            )
            THEN COALESCE("t16"."value", 0)
            ELSE 0
          END
        ) AS "before_1"
      FROM (
        SELECT
          *
        FROM (
          SELECT
            "t6"."unit",
            "t6"."type",
            "t6"."at",
            "t6"."value",
            "t13"."first_at"
          FROM (
            SELECT
              *
            FROM "events" AS "t1"
            WHERE
              "t1"."type" IN ('Order Completed', 'Order Refunded')
          ) AS "t6"
          INNER JOIN (
            SELECT
              "t9"."unit",
              "t9"."first_at"
            FROM "t8" AS "t9"
            WHERE
              "t9"."arm" = "t9"."last_arm"
          ) AS "t13"
            ON "t6"."unit" = "t13"."unit"
        ) AS "t14"
        WHERE
          "t14"."at" >= (
            "t14"."first_at" - 1209600000000
          )
          AND "t14"."at" < (
            "t14"."first_at" + 604800000000
          )
          AND "t14"."at" < 1775037600000000
      ) AS "t16"
      GROUP BY
        1
    ) AS "t18"
  ) AS "t22"
    ON "t12"."unit" = "t22"."event_unit_0"
  LEFT OUTER JOIN (
    SELECT
      "t19"."unit" AS "event_unit_1",
      "t19"."total_2"
    FROM (
      SELECT
        "t17"."unit",
        SUM(
          CAST(CASE
            WHEN (
              "t17"."property_experiment" = 'hand'
            )
            AND (
              (
                "t17"."at" >= (
                  "t17"."first_at" + 0
                )
              )
              AND (
                "t17"."at" < (
                  "t17"."first_at" + 86400000000
                )
              )
            )
            THEN 1
            ELSE 0
          END AS BIGINT)
        ) AS "total_2"
      FROM (
        SELECT
          *
        FROM (
          SELECT
            "t7"."unit",
            "t7"."type",
            "t7"."at",
            "t7"."value",
            "t7"."property_experiment",
            "t13"."first_at"
          FROM (
            SELECT
              *
            FROM "events" AS "t2"
            WHERE
              "t2"."type" IN ('Recommendation Clicked')
          ) AS "t7"
          INNER JOIN (
            SELECT
              "t9"."unit",
              "t9"."first_at"
            FROM "t8" AS "t9"
            WHERE
              "t9"."arm" = "t9"."last_arm"
          ) AS "t13"
            ON "t7"."unit" = "t13"."unit"
        ) AS "t15"
        WHERE
          "t15"."at" >= (
            "t15"."first_at" - 0
          )
          AND "t15"."at" < (
            "t15"."first_at" + 86400000000
          )
          AND "t15"."at" < 1775037600000000
      ) AS "t17"
      GROUP BY
        1
    ) AS "t19"
  ) AS "t23"
    ON "t12"."unit" = "t23"."event_unit_1"
) AS "t24"
ORDER BY
  "t24"."unit" ASC;

WITH "t5" AS (
  SELECT
    "t2"."unit",
    MIN("t2"."arm") AS "arm",
    MAX("t2"."arm") AS "last_arm",
    MIN("t2"."phase") AS "phase",
    MIN("t2"."first_at") AS "first_at"
  FROM (
    SELECT
      *
    FROM "exposures" AS "t0"
    WHERE
      "t0"."first_at" < 1775037600000000
  ) AS "t2"
  GROUP BY
    1
), "t11" AS (
  SELECT
    "t4"."unit",
    "t4"."type",
    "t4"."at",
    "t4"."value",
    "t4"."property_product",
    "t4"."number_quantity",
    "t10"."first_at"
  FROM (
    SELECT
      *
    FROM "events" AS "t1"
    WHERE
      "t1"."type" IN ('Order Completed', 'Order Refunded', 'Product Viewed')
  ) AS "t4"
  INNER JOIN (
    SELECT
      "t6"."unit",
      "t6"."first_at"
    FROM "t5" AS "t6"
    WHERE
      "t6"."arm" = "t6"."last_arm"
  ) AS "t10"
    ON "t4"."unit" = "t10"."unit"
), "t17" AS (
  SELECT
    "t12"."unit",
    "t12"."at",
    "t12"."value" AS "number"
  FROM "t11" AS "t12"
  WHERE
    "t12"."at" >= (
      "t12"."first_at" - 1209600000000
    )
    AND "t12"."at" < (
      "t12"."first_at" + 604800000000
    )
    AND "t12"."at" < 1775037600000000
    AND "t12"."type" IN ('Order Completed')
    AND "t12"."at" >= (
      "t12"."first_at" + 0
    )
    AND "t12"."value" IS NOT NULL
)
SELECT
  *
FROM (
  SELECT
    "t9"."unit",
    "t9"."arm",
    "t9"."phase",
    "t9"."first_at",
    COALESCE("t43"."total_0", 0) AS "total_0",
    COALESCE("t43"."before_0", 0) AS "before_0",
    COALESCE("t43"."per_0", 0) AS "per_0",
    COALESCE("t43"."per_before_0", 0) AS "per_before_0",
    COALESCE("t43"."total_1", 0) AS "total_1",
    COALESCE("t39"."total_2", 0) AS "total_2",
    COALESCE("t36"."before_2", 0) AS "before_2",
    COALESCE("t40"."total_3", 0) AS "total_3",
    COALESCE("t30"."total_4", 0) AS "total_4",
    COALESCE("t29"."before_4", 0) AS "before_4",
    COALESCE("t43"."total_5", 0) AS "total_5",
    COALESCE("t43"."total_6", 0) AS "total_6",
    COALESCE("t43"."total_7", 0) AS "total_7",
    COALESCE("t43"."total_8", 0) AS "total_8",
    COALESCE("t43"."total_9", 0) AS "total_9",
    COALESCE("t46"."total_10", 0) AS "total_10",
    COALESCE("t43"."before_10", 0) AS "before_10"
  FROM (
    SELECT
      "t6"."unit",
      "t6"."arm",
      "t6"."phase",
      "t6"."first_at"
    FROM "t5" AS "t6"
    WHERE
      "t6"."arm" = "t6"."last_arm"
  ) AS "t9"
  LEFT OUTER JOIN (
    SELECT
      "t35"."unit" AS "event_unit_0",
      "t35"."total_0",
      "t35"."per_0",
      "t35"."per_before_0",
      "t35"."before_0",
      "t35"."total_1",
      "t35"."total_5",
      "t35"."total_6",
      "t35"."total_7",
      "t35"."total_8",
      "t35"."total_9",
      "t35"."before_10"
    FROM (
      SELECT
        "t13"."unit",
        SUM(
          CASE
            WHEN "t13"."type" IN ('Order Completed', 'Order Refunded')
            AND (
              (
                "t13"."at" >= (
                  "t13"."first_at" + 0
                )
              )
              AND (
                "t13"."at" < (
                  "t13"."first_at" + 604800000000
                )
              )
            )
            THEN COALESCE("t13"."value", 0)
            ELSE 0
          END
        ) AS "total_0",
        SUM(
          CAST(CASE
            WHEN "t13"."type" IN ('Order Completed')
            AND (
              (
                "t13"."at" >= (
                  "t13"."first_at" + 0
                )
              )
              AND (
                "t13"."at" < (
                  "t13"."first_at" + 604800000000
                )
              )
            )
            THEN 1
            ELSE 0
          END AS BIGINT)
        ) AS "per_0",
        SUM(
          CAST(CASE
            WHEN "t13"."type" IN ('Order Completed')
            AND (
              (
                "t13"."at" >= (
                  "t13"."first_at" - 1209600000000
                )
              )
              AND (
                "t13"."at" < "t13"."first_at"
              )
            )
            THEN 1
            ELSE 0
          END AS BIGINT)
        ) AS "per_before_0",
        SUM(
          CASE
            WHEN "t13"."type" IN ('Order Completed', 'Order Refunded')
            AND (
              (
                "t13"."at" >= (
                  "t13"."first_at" - 1209600000000
                )
              )
              AND (
                "t13"."at" < "t13"."first_at"
              )
            )
            THEN COALESCE("t13"."value", 0)
            ELSE 0
          END
        ) AS "before_0",
        MAX(
          CASE
            WHEN "t13"."type" IN ('Order Completed')
            AND (
              (
                "t13"."at" >= (
                  "t13"."first_at" + 0
                )
              )
              AND (
                "t13"."at" < (
                  "t13"."first_at" + 604800000000
                )
              )
            )
            THEN "t13"."value"
            ELSE NULL
          END
        ) AS "total_1",
        SUM(
          CASE
            WHEN "t13"."type" IN ('Product Viewed')
            AND (
              (
                "t13"."at" >= (
                  "t13"."first_at" + 0
                )
              )
              AND (
                "t13"."at" < (
                  "t13"."first_at" + 604800000000
                )
              )
            )
            THEN COALESCE("t13"."number_quantity", 0)
            ELSE 0
          END
        ) AS "total_5",
        SUM(
          CAST(CASE
            WHEN "t13"."type" IN ('Product Viewed')
            AND (
              "t13"."number_quantity" >= 2000000
            )
            AND (
              (
                "t13"."at" >= (
                  "t13"."first_at" + 0
                )
              )
              AND (
                "t13"."at" < (
                  "t13"."first_at" + 604800000000
                )
              )
            )
            THEN 1
            ELSE 0
          END AS BIGINT)
        ) AS "total_6",
        SUM(
          CAST(CASE
            WHEN "t13"."type" IN ('Product Viewed')
            AND (
              "t13"."property_product" <> 'A'
            )
            AND (
              (
                "t13"."at" >= (
                  "t13"."first_at" + 0
                )
              )
              AND (
                "t13"."at" < (
                  "t13"."first_at" + 604800000000
                )
              )
            )
            THEN 1
            ELSE 0
          END AS BIGINT)
        ) AS "total_7",
        MAX(
          CAST(CASE
            WHEN "t13"."type" IN ('Product Viewed')
            AND (
              (
                "t13"."at" >= (
                  "t13"."first_at" + 86400000000
                )
              )
              AND (
                "t13"."at" < (
                  "t13"."first_at" + 172800000000
                )
              )
            )
            THEN 1
            ELSE 0
          END AS BIGINT)
        ) AS "total_8",
        MAX(
          CAST(CASE
            WHEN "t13"."type" IN ('Product Viewed')
            AND (
              (
                "t13"."at" >= (
                  "t13"."first_at" + 86400000000
                )
              )
              AND (
                "t13"."at" < (
                  "t13"."first_at" + 604800000000
                )
              )
            )
            THEN 1
            ELSE 0
          END AS BIGINT)
        ) AS "total_9",
        MAX(
          CAST(CASE
            WHEN "t13"."type" IN ('Order Completed')
            AND (
              (
                "t13"."at" >= (
                  "t13"."first_at" - 1209600000000
                )
              )
              AND (
                "t13"."at" < "t13"."first_at"
              )
            )
            THEN 1
            ELSE 0
          END AS BIGINT)
        ) AS "before_10"
      FROM (
        SELECT
          *
        FROM "t11" AS "t12"
        WHERE
          "t12"."at" >= (
            "t12"."first_at" - 1209600000000
          )
          AND "t12"."at" < (
            "t12"."first_at" + 604800000000
          )
          AND "t12"."at" < 1775037600000000
      ) AS "t13"
      GROUP BY
        1
    ) AS "t35"
  ) AS "t43"
    ON "t9"."unit" = "t43"."event_unit_0"
  LEFT OUTER JOIN (
    SELECT
      "t31"."unit" AS "event_unit_1",
      "t31"."number" AS "total_2"
    FROM (
      SELECT
        "t20"."unit",
        "t20"."at",
        "t20"."number",
        ROW_NUMBER() OVER (
          PARTITION BY "t20"."unit"
          ORDER BY "t20"."at" ASC, "t20"."number" ASC
          ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
        ) - 1 AS "place"
      FROM "t17" AS "t20"
    ) AS "t31"
    WHERE
      "t31"."place" = 0
  ) AS "t39"
    ON "t9"."unit" = "t39"."event_unit_1"
  LEFT OUTER JOIN (
    SELECT
      "t28"."unit" AS "event_unit_2",
      "t28"."number" AS "before_2"
    FROM (
      SELECT
        "t14"."unit",
        "t14"."at",
        "t14"."number",
        ROW_NUMBER() OVER (
          PARTITION BY "t14"."unit"
          ORDER BY "t14"."at" ASC, "t14"."number" ASC
          ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
        ) - 1 AS "place"
      FROM (
        SELECT
          "t12"."unit",
          "t12"."at",
          "t12"."value" AS "number"
        FROM "t11" AS "t12"
        WHERE
          "t12"."at" >= (
            "t12"."first_at" - 1209600000000
          )
          AND "t12"."at" < (
            "t12"."first_at" + 604800000000
          )
          AND "t12"."at" < 1775037600000000
          AND "t12"."type" IN ('Order Completed')
          AND "t12"."at" < "t12"."first_at"
          AND "t12"."value" IS NOT NULL
      ) AS "t14"
    ) AS "t28"
    WHERE
      "t28"."place" = 0
  ) AS "t36"
    ON "t9"."unit" = "t36"."event_unit_2"
  LEFT OUTER JOIN (
    SELECT
      "t32"."unit" AS "event_unit_3",
      "t32"."number" AS "total_3"
    FROM (
      SELECT
        "t20"."unit",
        "t20"."at",
        "t20"."number",
        ROW_NUMBER() OVER (
          PARTITION BY "t20"."unit"
          ORDER BY "t20"."at" DESC NULLS LAST, "t20"."number" ASC
          ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
        ) - 1 AS "place"
      FROM "t17" AS "t20"
    ) AS "t32"
    WHERE
      "t32"."place" = 0
  ) AS "t40"
    ON "t9"."unit" = "t40"."event_unit_3"
  LEFT OUTER JOIN (
    SELECT
      "t23"."unit" AS "event_unit_4",
      "t23"."total_4"
    FROM (
      SELECT
        "t16"."unit",
        COUNT(*) AS "total_4"
      FROM (
        SELECT DISTINCT
          "t12"."unit",
          "t12"."property_product" AS "text"
        FROM "t11" AS "t12"
        WHERE
          "t12"."at" >= (
            "t12"."first_at" - 1209600000000
          )
          AND "t12"."at" < (
            "t12"."first_at" + 604800000000
          )
          AND "t12"."at" < 1775037600000000
          AND "t12"."type" IN ('Product Viewed')
          AND "t12"."at" >= (
            "t12"."first_at" + 0
          )
          AND "t12"."property_product" IS NOT NULL
      ) AS "t16"
      GROUP BY
        1
    ) AS "t23"
  ) AS "t30"
    ON "t9"."unit" = "t30"."event_unit_4"
  LEFT OUTER JOIN (
    SELECT
      "t22"."unit" AS "event_unit_5",
      "t22"."before_4"
    FROM (
      SELECT
        "t15"."unit",
        COUNT(*) AS "before_4"
      FROM (
        SELECT DISTINCT
          "t12"."unit",
          "t12"."property_product" AS "text"
        FROM "t11" AS "t12"
        WHERE
          "t12"."at" >= (
            "t12"."first_at" - 1209600000000
          )
          AND "t12"."at" < (
            "t12"."first_at" + 604800000000
          )
          AND "t12"."at" < 1775037600000000
          AND "t12"."type" IN ('Product Viewed')
          AND "t12"."at" < "t12"."first_at"
          AND "t12"."property_product" IS NOT NULL
      ) AS "t15"
      GROUP BY
        1
    ) AS "t22"
  ) AS "t29"
    ON "t9"."unit" = "t29"."event_unit_5"
  LEFT OUTER JOIN (
    SELECT
      "t44"."unit" AS "event_unit_6",
      1 AS "total_10"
    FROM (
      SELECT
        "t42"."unit",
        MIN("t42"."at") AS "reached_at"
      FROM (
        SELECT
          "t34"."unit",
          "t34"."at"
        FROM (
          SELECT
            "t21"."unit",
            "t21"."at",
            "t27"."reached_at"
          FROM (
            SELECT
              "t12"."unit",
              "t12"."at"
            FROM "t11" AS "t12"
            WHERE
              "t12"."at" >= (
                "t12"."first_at" - 1209600000000
              )
              AND "t12"."at" < (
                "t12"."first_at" + 604800000000
              )
              AND "t12"."at" < 1775037600000000
              AND "t12"."type" IN ('Order Completed')
              AND "t12"."at" >= (
                "t12"."first_at" + 0
              )
          ) AS "t21"
          INNER JOIN (
            SELECT
              "t19"."unit",
              MIN("t19"."at") AS "reached_at"
            FROM (
              SELECT
                "t12"."unit",
                "t12"."at"
              FROM "t11" AS "t12"
              WHERE
                "t12"."at" >= (
                  "t12"."first_at" - 1209600000000
                )
                AND "t12"."at" < (
                  "t12"."first_at" + 604800000000
                )
                AND "t12"."at" < 1775037600000000
                AND "t12"."type" = 'Product Viewed'
                AND "t12"."at" >= (
                  "t12"."first_at" + 0
                )
            ) AS "t19"
            GROUP BY
              1
          ) AS "t27"
            ON "t21"."unit" = "t27"."unit"
        ) AS "t34"
        WHERE
          "t34"."at" >= "t34"."reached_at"
      ) AS "t42"
      GROUP BY
        1
    ) AS "t44"
  ) AS "t46"
    ON "t9"."unit" = "t46"."event_unit_6"
) AS "t47"
ORDER BY
  "t47"."unit" ASC;

SELECT
  "t8"."unit",
  "t8"."value" AS "number"
FROM (
  SELECT
    "t4"."unit",
    "t4"."type",
    "t4"."at",
    "t4"."value",
    "t7"."first_at"
  FROM (
    SELECT
      *
    FROM "events" AS "t0"
    WHERE
      "t0"."type" IN ('Order Completed', 'Order Refunded')
  ) AS "t4"
  INNER JOIN (
    SELECT
      "t5"."unit",
      "t5"."first_at"
    FROM (
      SELECT
        "t3"."unit",
        MIN("t3"."arm") AS "arm",
        MAX("t3"."arm") AS "last_arm",
        MIN("t3"."phase") AS "phase",
        MIN("t3"."first_at") AS "first_at"
      FROM (
        SELECT
          *
        FROM "exposures" AS "t1"
        WHERE
          "t1"."first_at" < 1775037600000000
      ) AS "t3"
      GROUP BY
        1
    ) AS "t5"
    WHERE
      "t5"."arm" = "t5"."last_arm"
  ) AS "t7"
    ON "t4"."unit" = "t7"."unit"
) AS "t8"
WHERE
  "t8"."at" >= (
    "t8"."first_at" - 1209600000000
  )
  AND "t8"."at" < (
    "t8"."first_at" + 604800000000
  )
  AND "t8"."at" < 1775037600000000
  AND "t8"."type" IN ('Order Completed', 'Order Refunded')
  AND "t8"."at" >= (
    "t8"."first_at" + 0
  )
  AND "t8"."value" IS NOT NULL
ORDER BY
  "t8"."unit" ASC,
  "t8"."value" ASC;

SELECT
  *
FROM (
  SELECT DISTINCT
    *
  FROM (
    SELECT
      "t3"."unit",
      "t3"."arm"
    FROM (
      SELECT
        "t0"."unit",
        "t0"."arm"
      FROM "exposures" AS "t0"
      WHERE
        "t0"."first_at" < 1775037600000000
    ) AS "t3"
    INNER JOIN (
      SELECT
        "t4"."unit"
      FROM (
        SELECT
          "t2"."unit",
          MIN("t2"."arm") AS "arm",
          MAX("t2"."arm") AS "last_arm",
          MIN("t2"."phase") AS "phase",
          MIN("t2"."first_at") AS "first_at"
        FROM (
          SELECT
            *
          FROM "exposures" AS "t0"
          WHERE
            "t0"."first_at" < 1775037600000000
        ) AS "t2"
        GROUP BY
          1
      ) AS "t4"
      WHERE
        "t4"."arm" <> "t4"."last_arm"
    ) AS "t6"
      ON "t3"."unit" = "t6"."unit"
  ) AS "t7"
) AS "t8"
ORDER BY
  "t8"."unit" ASC,
  "t8"."arm" ASC;
