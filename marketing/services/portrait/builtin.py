"""The computed traits that every installation has; docs/profiles.md describes them."""

from __future__ import annotations

from typing import Any, Final

from django.utils.translation import gettext_noop

_SHOP: Final = {"Product Viewed": 1, "Products Searched": 2, "Product Added": 3, "Order Completed": 5}
_YEAR: Final = {"days": 365, "half_life": 90}


def _events(event: str, measure: str, days: int) -> dict[str, Any]:
    return {"kind": "events", "event": event, "measure": measure, "days": days}


def _affinity(of: str, give: str) -> dict[str, Any]:
    return {"kind": "affinity", "of": of, "give": give, "weights": _SHOP, **_YEAR}


def _habit(of: str, **more: str) -> dict[str, Any]:
    return {"kind": "habit", "of": of, **more, **_YEAR}


def _orders(give: str, **more: int) -> dict[str, Any]:
    return {"kind": "orders", "give": give, **more}


# (key, name, recipe without its schema)
BUILTIN: Final[tuple[tuple[str, str, dict[str, Any]], ...]] = (
    ("orders_30d", gettext_noop("Orders, 30 days"), _events("Order Completed", "count", 30)),
    ("orders_365d", gettext_noop("Orders, 365 days"), _events("Order Completed", "count", 365)),
    ("revenue_30d", gettext_noop("Order value, 30 days"), _events("Order Completed", "sum", 30)),
    ("revenue_365d", gettext_noop("Order value, 365 days"), _events("Order Completed", "sum", 365)),
    ("views_30d", gettext_noop("Product views, 30 days"), _events("Product Viewed", "count", 30)),
    ("items_viewed_30d", gettext_noop("Different products viewed, 30 days"), _events("Product Viewed", "items", 30)),
    ("carts_30d", gettext_noop("Added to cart, 30 days"), _events("Product Added", "count", 30)),
    ("active_days_30d", gettext_noop("Active days, 30 days"), _events("", "days", 30)),
    ("engagement", gettext_noop("Engagement"), {"kind": "engagement", "days": 30}),
    ("top_category", gettext_noop("Favorite category"), _affinity("category", "top")),
    ("top_category_share", gettext_noop("Share of the favorite category"), _affinity("category", "share")),
    ("top_brand", gettext_noop("Favorite brand"), _affinity("brand", "top")),
    ("top_brand_share", gettext_noop("Share of the favorite brand"), _affinity("brand", "share")),
    ("preferred_hour", gettext_noop("Preferred hour"), _habit("hour")),
    ("preferred_weekday", gettext_noop("Preferred weekday (1 is Monday)"), _habit("weekday")),
    ("preferred_channel", gettext_noop("Preferred channel"), _habit("property", property="channel")),
    ("preferred_device", gettext_noop("Preferred device"), _habit("property", property="device")),
    ("last_order", gettext_noop("Last order"), _orders("last_order")),
    ("average_order_value", gettext_noop("Average order value"), _orders("average_order_value")),
    ("lifetime_value", gettext_noop("Lifetime value so far"), _orders("lifetime_value")),
    ("price_level", gettext_noop("Price level"), _orders("price_level")),
    ("rfm_recency", gettext_noop("Recency score"), _orders("rfm_recency")),
    ("rfm_frequency", gettext_noop("Frequency score"), _orders("rfm_frequency")),
    ("rfm_monetary", gettext_noop("Money score"), _orders("rfm_monetary")),
    ("rfm_group", gettext_noop("RFM group"), _orders("rfm_group")),
    ("churn_risk", gettext_noop("Churn risk"), _orders("churn_risk")),
    ("predicted_orders", gettext_noop("Predicted orders, 365 days"), _orders("predicted_orders", horizon=365)),
    ("predicted_value", gettext_noop("Predicted value, 365 days"), _orders("predicted_value", horizon=365)),
)
