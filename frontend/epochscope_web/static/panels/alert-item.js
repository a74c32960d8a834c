// One alert as a line: what happened, when it was found, whether it is over, to whom it was sent.

/** @import {Alert, AlertKind} from "../types.d.ts" */
import { h } from "./element.js";
import { count, moments, when } from "./words.js";

/** @type {Record<AlertKind, string>} */
const SIGNS = { change: "▼", drop: "▼", below: "▁", nan: "≠", stalled: "◐", lost: "✕" };
/** @type {Record<Alert["sent"][number]["state"], string>} */
const SENT = { waiting: "to be sent to", sending: "being sent to", sent: "sent to", failed: "not sent to", unanswered: "perhaps not received by" };
/** What each rule looks for, as a filter calls it. @type {Record<AlertKind, string>} */
export const KINDS = { change: "a class fell", drop: "a certified drop", below: "below a level", nan: "a loss that is no number", stalled: "stalled", lost: "lost" };

/**
 * @param {Alert} one
 * @param {HTMLElement} text what happened, as a button, a link or plain
 * @param {HTMLElement | null} [run] the run that it is about, where that is not plain
 */
export function alertItem(one, text, run = null) {
  const state = one.on ? "still on" : `over${one.back === null ? "" : ` at step ${count(one.back)}`}${one.ended_ms === null ? "" : `, ${when(one.ended_ms)}`}`;
  const sent = one.sent.map((post) => h("span", { title: post.says }, `; ${SENT[post.state]} ${post.to}`));
  return h(
    "li",
    { class: one.on ? "on" : "over" },
    h("i", { "aria-hidden": "true" }, SIGNS[one.kind]),
    text,
    h("p", { class: "note" }, run, run && " ", h("time", { datetime: new Date(one.found_ms).toISOString(), title: moments(one.found_ms) }, `found ${when(one.found_ms)}`), `; ${state}`, ...sent),
  );
}
