// Asks for arms, shows them, says when one was seen, sends events; nothing before consent (docs/clients.md).
(() => {
  "use strict";
  const script = document.currentScript;
  const { key, user, consent: given } = script.dataset;
  const host = new URL(script.src).origin;
  const STORE = "holdout_visitor";
  const flags = {};
  let visitor;
  let open;
  const ready = new Promise((resolve) => { open = resolve; });

  const random = () =>
    Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

  const track = (event, properties = {}) => {
    if (!visitor) return false;
    const now = new Date().toISOString();
    const who = { anonymousId: visitor, userId: user, writeKey: key };
    const message = { event, properties, messageId: random(), timestamp: now, sentAt: now, ...who };
    return navigator.sendBeacon(`${host}/v1/track`, JSON.stringify(message)); // text: no preflight
  };

  // An experiment on signed-in people is not for a stranger.
  const flagOf = (name) => {
    const flag = flags[name];
    return flag && (user || flag.metadata.unitType !== "user_id") ? flag : undefined;
  };

  const seen = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      seen.unobserve(target);
      const { variant, metadata } = flagOf(target.dataset.holdout);
      track("Experiment Viewed", {
        experiment_id: metadata.experiment,
        variation_id: variant,
        unit_type: metadata.unitType,
        phase: metadata.phase,
        reason: metadata.reason,
        consent: true,
      });
    }
  });

  const show = (slot) => {
    const flag = flagOf(slot.dataset.holdout);
    if (!flag || !("value" in flag)) return;
    for (const arm of slot.querySelectorAll("[data-arm]")) arm.hidden = arm.dataset.arm !== flag.variant;
    slot.dispatchEvent(new CustomEvent("holdout:arm", { bubbles: true, detail: flag }));
    if (flag.metadata.inExperiment) seen.observe(slot);
  };

  const consent = async (attributes = {}) => {
    if (visitor || navigator.globalPrivacyControl) return;
    visitor = localStorage.getItem(STORE) || random();
    localStorage.setItem(STORE, visitor);
    const context = { ...attributes, targetingKey: user || visitor, anonymousId: visitor, consent: true };
    try {
      const answer = await fetch(`${host}/ofrep/v1/evaluate/flags`, {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-API-Key": key },
        body: JSON.stringify({ context }),
      });
      for (const flag of answer.ok ? (await answer.json()).flags : []) flags[flag.key] = flag;
    } catch { /* The page keeps its defaults. */ }
    document.querySelectorAll("[data-holdout]").forEach(show);
    open();
  };

  const forget = () => {
    visitor = undefined;
    localStorage.removeItem(STORE);
  };

  window.holdout = { consent, forget, track, arm: (name) => ready.then(() => flagOf(name)) };
  if (given === "true") consent();
})();
