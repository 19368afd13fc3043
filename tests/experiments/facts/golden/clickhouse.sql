WITH "t8" AS (
  SELECT
    "t3"."unit" AS "unit",
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
    "t3"."unit"
)
SELECT
  *
FROM (
  SELECT
    "t12"."unit" AS "unit",
    "t12"."arm" AS "arm",
    "t12"."phase" AS "phase",
    "t12"."first_at" AS "first_at",
    COALESCE("t22"."total_0", 0) AS "total_0",
    COALESCE("t22"."before_0", 0) AS "before_0",
    COALESCE("t22"."total_1", 0) AS "total_1",
    COALESCE("t22"."before_1", 0) AS "before_1",
    COALESCE("t23"."total_2", 0) AS "total_2"
  FROM (
    SELECT
      "t9"."unit" AS "unit",
      "t9"."arm" AS "arm",
      "t9"."phase" AS "phase",
      "t9"."first_at" AS "first_at"
    FROM "t8" AS "t9"
    WHERE
      "t9"."arm" = "t9"."last_arm"
  ) AS "t12"
  LEFT OUTER JOIN (
    SELECT
      "t18"."unit" AS "event_unit_0",
      "t18"."total_0" AS "total_0",
      "t18"."before_0" AS "before_0",
      "t18"."total_1" AS "total_1",
      "t18"."before_1" AS "before_1"
    FROM (
      SELECT
        "t16"."unit" AS "unit",
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
          END AS Nullable(Int64))
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
          END AS Nullable(Int64))
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
            "t6"."unit" AS "unit",
            "t6"."type" AS "type",
            "t6"."at" AS "at",
            "t6"."value" AS "value",
            "t13"."first_at" AS "first_at"
          FROM (
            SELECT
              *
            FROM "events" AS "t1"
            WHERE
              "t1"."type" IN ('Order Completed', 'Order Refunded')
          ) AS "t6"
          INNER JOIN (
            SELECT
              "t9"."unit" AS "unit",
              "t9"."first_at" AS "first_at"
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
        "t16"."unit"
    ) AS "t18"
  ) AS "t22"
    ON "t12"."unit" = "t22"."event_unit_0"
  LEFT OUTER JOIN (
    SELECT
      "t19"."unit" AS "event_unit_1",
      "t19"."total_2" AS "total_2"
    FROM (
      SELECT
        "t17"."unit" AS "unit",
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
          END AS Nullable(Int64))
        ) AS "total_2"
      FROM (
        SELECT
          *
        FROM (
          SELECT
            "t7"."unit" AS "unit",
            "t7"."type" AS "type",
            "t7"."at" AS "at",
            "t7"."value" AS "value",
            "t7"."property_experiment" AS "property_experiment",
            "t13"."first_at" AS "first_at"
          FROM (
            SELECT
              *
            FROM "events" AS "t2"
            WHERE
              "t2"."type" IN ('Recommendation Clicked')
          ) AS "t7"
          INNER JOIN (
            SELECT
              "t9"."unit" AS "unit",
              "t9"."first_at" AS "first_at"
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
        "t17"."unit"
    ) AS "t19"
  ) AS "t23"
    ON "t12"."unit" = "t23"."event_unit_1"
) AS "t24"
ORDER BY
  "t24"."unit" ASC;

WITH "t5" AS (
  SELECT
    "t2"."unit" AS "unit",
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
    "t2"."unit"
), "t11" AS (
  SELECT
    "t4"."unit" AS "unit",
    "t4"."type" AS "type",
    "t4"."at" AS "at",
    "t4"."value" AS "value",
    "t4"."property_product" AS "property_product",
    "t4"."number_quantity" AS "number_quantity",
    "t10"."first_at" AS "first_at"
  FROM (
    SELECT
      *
    FROM "events" AS "t1"
    WHERE
      "t1"."type" IN ('Order Completed', 'Order Refunded', 'Product Viewed')
  ) AS "t4"
  INNER JOIN (
    SELECT
      "t6"."unit" AS "unit",
      "t6"."first_at" AS "first_at"
    FROM "t5" AS "t6"
    WHERE
      "t6"."arm" = "t6"."last_arm"
  ) AS "t10"
    ON "t4"."unit" = "t10"."unit"
), "t17" AS (
  SELECT
    "t12"."unit" AS "unit",
    "t12"."at" AS "at",
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
    AND isNotNull("t12"."value")
)
SELECT
  *
FROM (
  SELECT
    "t9"."unit" AS "unit",
    "t9"."arm" AS "arm",
    "t9"."phase" AS "phase",
    "t9"."first_at" AS "first_at",
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
      "t6"."unit" AS "unit",
      "t6"."arm" AS "arm",
      "t6"."phase" AS "phase",
      "t6"."first_at" AS "first_at"
    FROM "t5" AS "t6"
    WHERE
      "t6"."arm" = "t6"."last_arm"
  ) AS "t9"
  LEFT OUTER JOIN (
    SELECT
      "t35"."unit" AS "event_unit_0",
      "t35"."total_0" AS "total_0",
      "t35"."per_0" AS "per_0",
      "t35"."per_before_0" AS "per_before_0",
      "t35"."before_0" AS "before_0",
      "t35"."total_1" AS "total_1",
      "t35"."total_5" AS "total_5",
      "t35"."total_6" AS "total_6",
      "t35"."total_7" AS "total_7",
      "t35"."total_8" AS "total_8",
      "t35"."total_9" AS "total_9",
      "t35"."before_10" AS "before_10"
    FROM (
      SELECT
        "t13"."unit" AS "unit",
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
          END AS Nullable(Int64))
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
          END AS Nullable(Int64))
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
          END AS Nullable(Int64))
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
          END AS Nullable(Int64))
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
          END AS Nullable(Int64))
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
          END AS Nullable(Int64))
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
          END AS Nullable(Int64))
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
        "t13"."unit"
    ) AS "t35"
  ) AS "t43"
    ON "t9"."unit" = "t43"."event_unit_0"
  LEFT OUTER JOIN (
    SELECT
      "t31"."unit" AS "event_unit_1",
      "t31"."number" AS "total_2"
    FROM (
      SELECT
        "t20"."unit" AS "unit",
        "t20"."at" AS "at",
        "t20"."number" AS "number",
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
        "t14"."unit" AS "unit",
        "t14"."at" AS "at",
        "t14"."number" AS "number",
        ROW_NUMBER() OVER (
          PARTITION BY "t14"."unit"
          ORDER BY "t14"."at" ASC, "t14"."number" ASC
          ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
        ) - 1 AS "place"
      FROM (
        SELECT
          "t12"."unit" AS "unit",
          "t12"."at" AS "at",
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
          AND isNotNull("t12"."value")
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
        "t20"."unit" AS "unit",
        "t20"."at" AS "at",
        "t20"."number" AS "number",
        ROW_NUMBER() OVER (
          PARTITION BY "t20"."unit"
          ORDER BY "t20"."at" DESC, "t20"."number" ASC
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
      "t23"."total_4" AS "total_4"
    FROM (
      SELECT
        "t16"."unit" AS "unit",
        COUNT(*) AS "total_4"
      FROM (
        SELECT DISTINCT
          "t12"."unit" AS "unit",
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
          AND isNotNull("t12"."property_product")
      ) AS "t16"
      GROUP BY
        "t16"."unit"
    ) AS "t23"
  ) AS "t30"
    ON "t9"."unit" = "t30"."event_unit_4"
  LEFT OUTER JOIN (
    SELECT
      "t22"."unit" AS "event_unit_5",
      "t22"."before_4" AS "before_4"
    FROM (
      SELECT
        "t15"."unit" AS "unit",
        COUNT(*) AS "before_4"
      FROM (
        SELECT DISTINCT
          "t12"."unit" AS "unit",
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
          AND isNotNull("t12"."property_product")
      ) AS "t15"
      GROUP BY
        "t15"."unit"
    ) AS "t22"
  ) AS "t29"
    ON "t9"."unit" = "t29"."event_unit_5"
  LEFT OUTER JOIN (
    SELECT
      "t44"."unit" AS "event_unit_6",
      1 AS "total_10"
    FROM (
      SELECT
        "t42"."unit" AS "unit",
        MIN("t42"."at") AS "reached_at"
      FROM (
        SELECT
          "t34"."unit" AS "unit",
          "t34"."at" AS "at"
        FROM (
          SELECT
            "t21"."unit" AS "unit",
            "t21"."at" AS "at",
            "t27"."reached_at" AS "reached_at"
          FROM (
            SELECT
              "t12"."unit" AS "unit",
              "t12"."at" AS "at"
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
              "t19"."unit" AS "unit",
              MIN("t19"."at") AS "reached_at"
            FROM (
              SELECT
                "t12"."unit" AS "unit",
                "t12"."at" AS "at"
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
              "t19"."unit"
          ) AS "t27"
            ON "t21"."unit" = "t27"."unit"
        ) AS "t34"
        WHERE
          "t34"."at" >= "t34"."reached_at"
      ) AS "t42"
      GROUP BY
        "t42"."unit"
    ) AS "t44"
  ) AS "t46"
    ON "t9"."unit" = "t46"."event_unit_6"
) AS "t47"
ORDER BY
  "t47"."unit" ASC;

SELECT
  "t8"."unit" AS "unit",
  "t8"."value" AS "number"
FROM (
  SELECT
    "t4"."unit" AS "unit",
    "t4"."type" AS "type",
    "t4"."at" AS "at",
    "t4"."value" AS "value",
    "t7"."first_at" AS "first_at"
  FROM (
    SELECT
      *
    FROM "events" AS "t0"
    WHERE
      "t0"."type" IN ('Order Completed', 'Order Refunded')
  ) AS "t4"
  INNER JOIN (
    SELECT
      "t5"."unit" AS "unit",
      "t5"."first_at" AS "first_at"
    FROM (
      SELECT
        "t3"."unit" AS "unit",
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
        "t3"."unit"
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
  AND isNotNull("t8"."value")
ORDER BY
  "t8"."unit" ASC,
  "t8"."value" ASC;

SELECT DISTINCT
  *
FROM (
  SELECT
    "t3"."unit" AS "unit",
    "t3"."arm" AS "arm"
  FROM (
    SELECT
      "t0"."unit" AS "unit",
      "t0"."arm" AS "arm"
    FROM "exposures" AS "t0"
    WHERE
      "t0"."first_at" < 1775037600000000
  ) AS "t3"
  INNER JOIN (
    SELECT
      "t4"."unit" AS "unit"
    FROM (
      SELECT
        "t2"."unit" AS "unit",
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
        "t2"."unit"
    ) AS "t4"
    WHERE
      "t4"."arm" <> "t4"."last_arm"
  ) AS "t6"
    ON "t3"."unit" = "t6"."unit"
) AS "t7"
ORDER BY
  "t7"."unit" ASC,
  "t7"."arm" ASC;
