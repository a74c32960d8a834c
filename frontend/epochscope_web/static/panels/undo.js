// Runs that are about to be deleted: out of sight at once, a notice to take it back, and only then the service is asked.
// A page that is closed meanwhile deletes nothing: one run too many is seen, one too few is not.

import * as api from "../api.js";
import { fill, h, say } from "./element.js";

const WAIT_MS = 10_000;
const TICK_MS = 250;

/** Runs that nobody is to see any more. @type {Set<string>} */
const leaving = new Set();
/** @type {Set<() => void>} */
const watchers = new Set();
const notices = h("div", { class: "undo-notices" });

/** Whether a run is about to be deleted. @param {string} id */
export const isLeaving = (id) => leaving.has(id);

/** Be told whenever runs leave or come back; gives what ends it. @param {() => void} hear */
export function onLeaving(hear) {
  watchers.add(hear);
  return () => void watchers.delete(hear);
}

const tell = () => watchers.forEach((hear) => hear());

/** Delete runs, unless it is taken back in time. @param {{ id: string, name: string }[]} runs */
export function removeLater(runs) {
  if (!runs.length) return;
  if (!notices.isConnected) document.body.append(notices);
  const what = runs.length === 1 ? `“${runs[0]?.name}”` : `${runs.length} runs`;
  let rest = WAIT_MS;
  let held = false;
  const text = h("p", { role: "status" });
  const clock = h("span", { class: "clock", "aria-hidden": "true" });
  const undo = h("button", { type: "button", class: "quiet", onclick: () => back() }, "Undo");
  const now = h("button", { type: "button", class: "bare now", onclick: () => void remove() }, "Delete now");
  const notice = h("section", { class: "undo-notice", "aria-label": "Deletion" }, text, clock, undo, now);
  for (const [event, value] of /** @type {[string, boolean][]} */ ([["pointerenter", true], ["pointerleave", false], ["focusin", true], ["focusout", false]])) {
    notice.addEventListener(event, () => (held = value)); // nobody is hurried who is about to press
  }
  runs.forEach(({ id }) => leaving.add(id));
  tell();
  notices.append(notice);
  say(text, `${what} ${runs.length === 1 ? "is" : "are"} deleted for good in ten seconds.`);
  const ticking = setInterval(() => {
    if (!held) rest -= TICK_MS;
    say(clock, `${Math.max(0, Math.ceil(rest / 1000))} s`);
    if (rest <= 0) void remove();
  }, TICK_MS);

  function back() {
    clearInterval(ticking);
    runs.forEach(({ id }) => leaving.delete(id));
    notice.remove();
    tell();
  }

  async function remove() {
    clearInterval(ticking);
    undo.hidden = now.hidden = clock.hidden = true;
    say(text, `Deleting ${what} …`);
    /** @type {string[]} */
    const failed = [];
    for (const { id, name } of runs) {
      try {
        await api.remove(id);
      } catch (error) {
        if (error instanceof api.ApiError && error.status === 404) continue; // somebody else was quicker
        failed.push(`“${name}” is still there: ${error instanceof Error ? error.message : error}`);
        leaving.delete(id);
      }
    }
    tell();
    if (!failed.length) {
      notice.remove();
      return;
    }
    notice.classList.add("failed");
    fill(notice, h("p", { role: "alert" }, failed.slice(0, 3).join(" ")), h("button", { type: "button", class: "quiet", onclick: () => notice.remove() }, "Close"));
  }
}
