"""OFREP 0.3, the OpenFeature Remote Evaluation Protocol: one flag, or all of them with an ETag."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from experiments.choices import AssignmentReason
from experiments.selectors.clients import is_for_clients
from experiments.selectors.config import ExperimentConfig, list_configs
from experiments.services.assignment import Assignment
from experiments.services.forcing import force
from experiments.targeting.tree import EVERYONE
from experiments.wire.evaluation import Asker, Segments, asker_of, evaluate, is_usable, unit_of
from experiments.wire.http import Answer, Environ, Refused, encode, is_known, json_body

Configs = Mapping[str, ExperimentConfig]
PATH: Final = "/ofrep/v1/evaluate/flags"
CODE_DEFAULT: Final = "code-default"
"""The variant of an answer without a value: the client serves what its code names as the default."""
_IN: Final = frozenset({AssignmentReason.SPLIT, AssignmentReason.STICKY})
_OFF: Final = frozenset({AssignmentReason.STOPPED, AssignmentReason.PAUSED, AssignmentReason.NOT_STARTED})


def evaluate_one(environ: Environ, flag: str, *, segments: Segments, at: datetime) -> Answer:
    """Answer `POST …/flags/{key}`."""
    try:
        context = _context(environ)
        targeting_key = _targeting_key(context)
        asker, configs = asker_of(environ, context, at=at), list_configs()
        if flag in asker.forced and flag not in configs:
            text = _draft(flag, asker)
            if text:
                return Answer("200 OK", text.encode())
        config = _config(configs, flag)
        return _evaluated(configs, config, targeting_key, context, segments, at, asker).answer
    except Refused as refused:
        return refusal(refused, flag=flag)


def evaluate_all(environ: Environ, *, segments: Segments, at: datetime) -> Answer:
    """Answer `POST …/flags`; 304 where the client holds the same evaluation already."""
    try:
        context = _context(environ)
        targeting_key = _targeting_key(context)
    except Refused as refused:
        return refusal(refused)
    asker, configs = asker_of(environ, context, at=at), list_configs()
    flags = [
        _evaluated(configs, configs[key], targeting_key, context, segments, at, asker).text
        for key in sorted(configs)
        if is_for_clients(configs[key])
    ]
    drafts = (_draft(key, asker) for key in sorted(asker.forced) if key not in configs)
    flags += [text for text in drafts if text]
    body = f'{{"flags":[{",".join(flags)}]}}'.encode()
    etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    if is_known(environ, etag):
        return Answer("304 Not Modified", b"", (("ETag", etag),))
    return Answer("200 OK", body, (("ETag", etag),))


def refusal(refused: Refused, *, flag: str = "") -> Answer:
    """Return an error in the protocol's form."""
    body = {"errorCode": refused.code, "errorDetails": str(refused)}
    return Answer(refused.status, encode({"key": flag, **body} if flag else body).encode(), refused.headers)


def _config(configs: Configs, flag: str) -> ExperimentConfig:
    config = configs.get(flag)
    if config is None or not is_for_clients(config):
        raise Refused("404 Not Found", "FLAG_NOT_FOUND", f"there is no flag {flag!r}")
    return config


def _context(environ: Environ) -> Mapping[str, Any]:
    body = json_body(environ)
    context = body.get("context") if isinstance(body, dict) else None
    if context is None:
        raise Refused("400 Bad Request", "TARGETING_KEY_MISSING", "context.targetingKey is missing")
    if not isinstance(context, dict):
        raise Refused("400 Bad Request", "INVALID_CONTEXT", "context must be an object")
    return context


def _targeting_key(context: Mapping[str, Any]) -> str:
    key = context.get("targetingKey")
    if key is None or key == "":
        raise Refused("400 Bad Request", "TARGETING_KEY_MISSING", "context.targetingKey is missing")
    if not isinstance(key, str) or not is_usable(key):
        raise Refused("400 Bad Request", "INVALID_CONTEXT", "context.targetingKey must be a text of 200 characters")
    return key


class _Evaluated(NamedTuple):
    """What one flag's answer says, as JSON for the bulk answer and as the answer to the single question."""

    text: str
    answer: Answer


def _draft(key: str, asker: Asker) -> str:
    """The answer of a forced arm of an experiment that has not started; empty if there is no such arm any more."""
    shown = force(experiment_key=key, forced=asker.forced)
    if shown is None:
        return ""
    metadata = {"experiment": key, "inExperiment": False, "reason": str(shown.reason)}
    answer = {"key": key, "reason": "STATIC", "metadata": metadata, "variant": shown.arm_key, "value": shown.payload}
    return encode(answer)


def _evaluated(  # noqa: PLR0917 - the hot path: keywords cost
    configs: Configs,
    config: ExperimentConfig,
    targeting_key: str,
    context: Mapping[str, Any],
    segments: Segments,
    at: datetime,
    asker: Asker,
) -> _Evaluated:
    unit_id = unit_of(config, context, default=targeting_key)
    assignment = evaluate(config, unit_id=unit_id, attributes=context, segments=segments, at=at, asker=asker)
    return _memory.of(configs, config, assignment)


class _Memory:
    """Answers, remembered while the experiments stay as they are: there are a few per experiment."""

    def __init__(self) -> None:
        # One reference to both, so that no thread puts an old answer beside new experiments.
        self._known: tuple[Configs, dict[tuple[str, str | None, int | None, str], _Evaluated]] = ({}, {})

    def of(self, configs: Configs, config: ExperimentConfig, assignment: Assignment) -> _Evaluated:
        known = self._known
        if known[0] is not configs:
            known = self._known = (configs, {})
        key = (config.key, assignment.arm_key, assignment.phase, assignment.reason)
        found = known[1].get(key)
        if found is None:
            text = encode(_content(config, assignment))
            found = known[1][key] = _Evaluated(text, Answer("200 OK", text.encode()))
        return found


_memory: Final = _Memory()


def _content(config: ExperimentConfig, assignment: Assignment) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "experiment": config.key,
        "unitType": config.unit_type,
        "inExperiment": assignment.is_in,
        "reason": str(assignment.reason),
    }
    if assignment.phase is not None:
        metadata["phase"] = assignment.phase
    answer = {"key": config.key, "reason": _reason(config, assignment), "metadata": metadata}
    if assignment.arm_key is None:
        return answer | {"variant": CODE_DEFAULT}
    return answer | {"variant": assignment.arm_key, "value": assignment.payload}


def _reason(config: ExperimentConfig, assignment: Assignment) -> str:
    """The protocol's word for an assignment's reason."""
    reason = assignment.reason
    if reason in _IN:
        return "SPLIT"
    if reason == AssignmentReason.FORCED:
        return "STATIC"
    if reason == AssignmentReason.SHIPPED:
        return "STATIC" if config.phases[-1].rule == EVERYONE else "TARGETING_MATCH"
    return "DISABLED" if reason in _OFF else "UNKNOWN"
