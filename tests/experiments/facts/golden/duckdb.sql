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
)
SELECT
  *
FROM (
  SELECT
    "t9"."unit",
    "t9"."arm",
    "t9"."phase",
    "t9"."first_at",
    COALESCE("t15"."total_0", 0) AS "total_0",
    COALESCE("t15"."before_0", 0) AS "before_0",
    COALESCE("t15"."total_1", 0) AS "total_1",
    COALESCE("t15"."before_1", 0) AS "before_1",
    COALESCE("t15"."total_2", 0) AS "total_2"
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
      "t13"."unit" AS "event_unit_0",
      "t13"."total_0",
      "t13"."before_0",
      "t13"."total_1",
      "t13"."before_1",
      "t13"."total_2"
    FROM (
      SELECT
        "t12"."unit",
        MAX(
          CAST(CASE
            WHEN "t12"."type" IN ('Order Completed')
            AND (
              (
                "t12"."at" >= (
                  "t12"."first_at" + 0
                )
              )
              AND (
                "t12"."at" < (
                  "t12"."first_at" + 604800000000
                )
              )
            )
            THEN 1
            ELSE 0
          END AS BIGINT)
        ) AS "total_0",
        MAX(
          CAST(CASE
            WHEN "t12"."type" IN ('Order Completed')
            AND (
              (
                "t12"."at" >= (
                  "t12"."first_at" - 1209600000000
                )
              )
              AND (
                "t12"."at" < "t12"."first_at"
              )
            )
            THEN 1
            ELSE 0
          END AS BIGINT)
        ) AS "before_0",
        SUM(
          CASE
            WHEN "t12"."type" IN ('Order Completed', 'Order Refunded')
            AND (
              (
                "t12"."at" >= (
                  "t12"."first_at" + 0
                )
              )
              AND (
                "t12"."at" < (
                  "t12"."first_at" + 604800000000
                )
              )
            )
            THEN COALESCE("t12"."value", 0)
            ELSE 0
          END
        ) AS "total_1",
        SUM(
          CASE
            WHEN "t12"."type" IN ('Order Completed', 'Order Refunded')
            AND (
              (
                "t12"."at" >= (
                  "t12"."first_at" - 1209600000000
                )
              )
              AND (
                "t12"."at" < "t12"."first_at"
              )
            )
            THEN COALESCE("t12"."value", 0)
            ELSE 0
          END
        ) AS "before_1",
        SUM(
          CAST(CASE
            WHEN "t12"."type" IN ('Recommendation Clicked')
            AND (
              "t12"."property_experiment" = 'hand'
            )
            AND (
              (
                "t12"."at" >= (
                  "t12"."first_at" + 0
                )
              )
              AND (
                "t12"."at" < (
                  "t12"."first_at" + 86400000000
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
            "t4"."unit",
            "t4"."type",
            "t4"."at",
            "t4"."value",
            "t4"."property_experiment",
            "t10"."first_at"
          FROM (
            SELECT
              *
            FROM "events" AS "t1"
            WHERE
              "t1"."type" IN ('Order Completed', 'Order Refunded', 'Recommendation Clicked')
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
        ) AS "t11"
        WHERE
          "t11"."at" >= (
            "t11"."first_at" - 1209600000000
          )
          AND "t11"."at" < (
            "t11"."first_at" + 604800000000
          )
          AND "t11"."at" < 1775037600000000
      ) AS "t12"
      GROUP BY
        1
    ) AS "t13"
  ) AS "t15"
    ON "t9"."unit" = "t15"."event_unit_0"
) AS "t16"
ORDER BY
  "t16"."unit" ASC;

SELECT
  *
FROM (
  SELECT
    "t3"."unit",
    "t3"."arm"
  FROM (
    SELECT DISTINCT
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
ORDER BY
  "t7"."unit" ASC,
  "t7"."arm" ASC;
