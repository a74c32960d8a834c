// For how long runs are kept: a line for each project whose runs are, or were, not kept for ever.

/** @import {Project} from "../types.d.ts" */
import * as api from "../api.js";
import { fill, h } from "./element.js";
import { count, when } from "./words.js";

const AGAIN_MS = 60_000;

/** The lines, and what asks for them anew; nothing is shown where every run is kept. */
export function kept() {
  const element = h("div", { class: "kept" });
  let asked = -Infinity;

  /** @param {string} [project] the only one that matters here */
  async function refresh(project) {
    if (performance.now() - asked < AGAIN_MS) return;
    asked = performance.now();
    try {
      const { projects } = await api.projects();
      const chosen = projects.filter((one) => (one.keep_days !== null || one.removed > 0) && (project === undefined || one.name === project));
      fill(element, ...chosen.map((one) => h("p", { class: "note" }, told(one))));
    } catch {
      asked = -Infinity; // the page itself says that the service does not answer
    }
  }
  return { element, refresh };
}

/** @param {Project} project */
function told({ name, keep_days, due, removed, removed_ms }) {
  const rule = keep_days === null
    ? `Runs of ${name} are kept for ever.`
    : `Runs of ${name} are deleted ${keep_days === 1 ? "a day" : `${count(keep_days)} days`} after they were last heard of, unless they have a tag or are archived.`;
  const next = due > 0 ? ` Due now: ${count(due)}.` : "";
  const before = removed > 0 && removed_ms !== null ? ` Deleted so far: ${count(removed)}, the last ${when(removed_ms)}.` : "";
  return rule + next + before;
}
