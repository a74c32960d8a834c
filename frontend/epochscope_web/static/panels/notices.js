// What a reader must know of a run before believing its curves: what of it is missing, and which steps were run again.

/** @import {Run} from "../types.d.ts" */
import { fill, h } from "./element.js";
import { count, steps } from "./words.js";

/** @type {Record<keyof Run["missing"], [string, string, string]>} one, several, and why */
const MISSING = {
  lost: ["update", "updates", "lost to damage on the disk of the training machine"],
  thinned: ["value by batch", "values by batch", "thinned while the disk of the training machine was full"],
  dropped: ["value by batch", "values by batch", "dropped while its disk and memory were full"],
  refused: ["update", "updates", "refused by the service and set aside on the training machine"],
};

export function notices() {
  const element = h("div", { class: "notices", hidden: true });

  /** @param {Run} run */
  function set(run) {
    const said = [...missing(run), ...again(run)];
    element.hidden = !said.length;
    fill(element, ...said.map((text) => h("p", { class: "reason" }, text)));
  }
  return { element, set };
}

/** @param {Run} run */
function missing(run) {
  const told = Object.entries(run.missing).map(([how, number]) => {
    const [one, several, why] = MISSING[/** @type {keyof Run["missing"]} */ (how)];
    return `${count(number)} ${number === 1 ? one : several} ${why}`;
  });
  return told.length ? [`Not all of this run is here: ${told.join("; ")}.`] : [];
}

/** @param {Run} run */
function again(run) {
  const later = run.attempts.filter((one) => one.attempt > 1);
  if (!later.length && run.processes > 1) return [`Recorded by ${count(run.processes)} processes: what they say of one step adds up.`];
  return later.length
    ? [`Taken up again: ${later.map((one) => `${steps(one.from, one.to)} of ${one.split} are those of attempt ${one.attempt}`).join("; ")}.`]
    : [];
}
