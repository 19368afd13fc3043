"""GrowthBook's wire: the public payload, remote evaluation, and what its clients report."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from django.db import DatabaseError

from experiments.selectors.clients import hash_attribute, is_for_clients, last_change_at, list_features
from experiments.selectors.config import ExperimentConfig, list_configs
from experiments.wire.evaluation import Asker, Segments, asker_of, evaluate, unit_of
from experiments.wire.http import Answer, Environ, Refused, encode, is_known, json_body

FEATURES: Final = "/api/features/"
EVALUATE: Final = "/api/eval/"
TRACK: Final = "/track"
EXPOSURE_EVENT: Final = "Experiment Viewed"
CACHE: Final = ("Cache-Control", "public, max-age=30, stale-while-revalidate=3600, stale-if-error=36000")
MOST_TRACKED: Final = 500
MINUTE: Final = 60.0  # seconds; holdouts begin and end by time, so the payload is made again this often
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNIT_TYPES: Final = {"id": "user_id", "anonymousId": "anonymous"}


class _Payload(NamedTuple):
    configs: Mapping[str, ExperimentConfig]
    minute: float
    etag: str
    whole: Answer
    unchanged: Answer


class Payloads:
    """The payload as bytes, made again when an experiment changed, and each minute."""

    def __init__(self) -> None:
        self._known: _Payload | None = None

    def current(self, *, at: datetime) -> _Payload:
        configs, minute = list_configs(), at.timestamp() // MINUTE
        known = self._known
        if known is not None and known.configs is configs and known.minute == minute:
            return known
        try:
            changed_at = last_change_at() or _EPOCH
        except DatabaseError:
            if known is not None:
                return known  # the last known state, while the database is down
            changed_at = _EPOCH
        body = encode(
            {
                "status": 200,
                "features": {feature.key: _feature(feature.rule) for feature in list_features(configs, at=at)},
                "experiments": [],
                "savedGroups": {},
                "dateUpdated": changed_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            }
        ).encode()
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        headers = (("ETag", etag), CACHE)
        whole, unchanged = Answer("200 OK", body, headers), Answer("304 Not Modified", b"", headers)
        self._known = _Payload(configs, minute, etag, whole, unchanged)
        return self._known

    def answer(self, environ: Environ, *, at: datetime) -> Answer:
        """Answer `GET /api/features/{clientKey}`."""
        payload = self.current(at=at)
        return payload.unchanged if is_known(environ, payload.etag) else payload.whole


def evaluate_remotely(environ: Environ, *, segments: Segments, at: datetime) -> Answer:
    """Answer `POST /api/eval/{clientKey}`: the payload's shape with this unit's values and exposures to report."""
    body = json_body(environ)
    attributes = body.get("attributes") if isinstance(body, dict) else None
    if not isinstance(attributes, dict):
        raise Refused("400 Bad Request", "INVALID_CONTEXT", "attributes must be an object")
    asker, configs = asker_of(environ, attributes, at=at), list_configs()
    features = {
        key: _feature(_evaluated_rule(configs[key], attributes, segments, at, asker))
        for key in sorted(configs)
        if is_for_clients(configs[key])
    }
    answer = {"status": 200, "features": features, "experiments": [], "savedGroups": {}}
    return Answer("200 OK", encode(answer).encode(), (("Cache-Control", "no-store"),))


def tracked_messages(environ: Environ) -> list[dict[str, Any]]:
    """Return what a client reports at `/track` as messages of the event wire."""
    body = json_body(environ)
    if not isinstance(body, list) or len(body) > MOST_TRACKED:
        raise Refused("400 Bad Request", "PARSE_ERROR", f"the body must be a list of at most {MOST_TRACKED} events")
    return list(_messages(body))


def _feature(rule: Mapping[str, Any] | None) -> dict[str, Any]:
    # null: the client serves what its code names as the default.
    return {"defaultValue": None, **({"rules": [rule]} if rule is not None else {})}


def _evaluated_rule(
    config: ExperimentConfig, attributes: Mapping[str, Any], segments: Segments, at: datetime, asker: Asker
) -> dict[str, Any] | None:
    unit_id = unit_of(config, attributes)
    assignment = evaluate(config, unit_id=unit_id, attributes=attributes, segments=segments, at=at, asker=asker)
    if assignment.arm_key is None:
        return None
    rule: dict[str, Any] = {"force": assignment.payload}
    if assignment.is_in:
        arms = [arm.key for arm in config.arms]
        rule["tracks"] = [
            {
                "experiment": {
                    "key": config.key,
                    "variations": [arm.payload for arm in config.arms],
                    "phase": str(assignment.phase),
                },
                "result": {
                    "key": assignment.arm_key,
                    "variationId": arms.index(assignment.arm_key),
                    "value": assignment.payload,
                    "inExperiment": True,
                    "hashUsed": True,
                    "hashAttribute": hash_attribute(config.unit_type),
                    "hashValue": unit_id,
                    "featureId": config.key,
                    "bucket": assignment.bucket,
                    "stickyBucketUsed": False,
                },
            }
        ]
    return rule


def _messages(events: Sequence[Any]) -> Iterator[dict[str, Any]]:
    for event in events:
        if not isinstance(event, dict) or not isinstance(event.get("event_name"), str):
            continue
        given = event.get("properties_json")
        properties = given if isinstance(given, dict) else {}
        people = {"userId": event.get("user_id"), "anonymousId": event.get("device_id")}
        if event["event_name"] == EXPOSURE_EVENT:
            properties, people = _exposure(properties, people)
        yield {
            "type": "track",
            "event": event["event_name"],
            "messageId": str(uuid.uuid4()),
            "properties": properties,
            **{name: value for name, value in people.items() if value},
        }


def _exposure(properties: Mapping[str, Any], people: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """An exposure is the hashed unit's, whoever else the client names."""
    attribute = properties.get("hashAttribute")
    unit_type = _UNIT_TYPES.get(attribute, attribute) if isinstance(attribute, str) else None
    renamed = {
        "experiment_id": properties.get("experimentId"),
        "variation_id": properties.get("variationId"),
        **({"unit_type": unit_type} if unit_type else {}),
    }
    owner = {"user_id": "userId", "anonymous": "anonymousId"}.get(unit_type or "")
    if unit_type and not owner:
        renamed["group_id"] = properties.get("hashValue")  # an account or the like, seen by whoever is named
    return renamed, {**people, owner: properties.get("hashValue")} if owner else dict(people)
