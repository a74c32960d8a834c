// Scrub through the epochs and play them: the window becomes the epoch, and all views follow.

/** @import {Loop, Run, View} from "../types.d.ts" */
import { h, say } from "./element.js";
import { count } from "./words.js";

const FRAME_MS = 250;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * @param {Loop} loop
 * @param {() => boolean} busy whether what is shown lags behind: then a frame waits
 */
export function scrubber(loop, busy) {
  const range = h("input", { type: "range", min: 0, step: 1, "aria-label": "Epoch of the window", oninput: () => go(Number(range.value), "drag"), onchange: () => go(Number(range.value), "push") });
  const back = h("button", { type: "button", class: "quiet", "aria-label": "Epoch before", title: "Epoch before", onclick: () => step(-1) }, "◀");
  const on = h("button", { type: "button", class: "quiet", "aria-label": "Next epoch", title: "Next epoch", onclick: () => step(1) }, "▶");
  const play = h("button", { type: "button", class: "quiet play", onclick: () => toggle() }, "Play");
  const says = h("output", {});
  const element = h("div", { class: "scrub", role: "group", "aria-label": "Epochs" }, back, range, on, play, says);
  /** The epochs of the split, in their order. @type {number[]} */
  let epochs = [];
  /** Where among them the window is; null: it is no epoch. @type {number | null} */
  let here = null;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let playing;

  element.addEventListener("keydown", (event) => {
    if (event.key !== " " || event.target === back || event.target === on || event.target === play) return;
    event.preventDefault();
    toggle();
  });

  /** @param {number} at @param {"drag" | "push"} how */
  function go(at, how) {
    const epoch = epochs[at];
    if (epoch !== undefined) loop.go({ epoch, from: null, to: null }, how);
  }

  /** @param {number} far */
  function step(far) {
    stop();
    const at = here === null ? (far > 0 ? 0 : epochs.length - 1) : here + far;
    if (at >= 0 && at < epochs.length) go(at, "push");
  }

  /** Play from here, or from the first epoch; where the reader wants no motion, one step. */
  function toggle() {
    if (playing !== undefined) stop();
    else if (calm.matches) step(1);
    else {
      go(here === null || here === epochs.length - 1 ? 0 : here, "drag");
      playing = setInterval(frame, FRAME_MS);
      name();
    }
  }

  function frame() {
    if (document.hidden || busy()) return;
    if (here === null || here >= epochs.length - 1) stop();
    else go(here + 1, "drag");
  }

  function stop() {
    if (playing === undefined) return;
    clearInterval(playing);
    playing = undefined;
    name();
    if (here !== null) go(here, "push");
  }

  function name() {
    say(play, playing !== undefined ? "Pause" : "Play");
    play.title = playing !== undefined ? "Stop here (Space)" : "Play the epochs, four a second (Space)";
    play.hidden = calm.matches;
  }

  return {
    element,
    /** @param {View} view @param {Run} run */
    show(view, run) {
      epochs = run.spans.filter((span) => span.split === view.split && span.to > span.from).map((span) => span.epoch);
      element.hidden = epochs.length < 2;
      const at = view.epoch === null ? -1 : epochs.indexOf(view.epoch);
      here = at < 0 ? null : at;
      if (here === null && playing !== undefined) {
        clearInterval(playing);
        playing = undefined;
      }
      range.max = String(Math.max(epochs.length - 1, 0));
      if (document.activeElement !== range || here !== null) range.value = String(here ?? epochs.length - 1);
      range.classList.toggle("idle", here === null);
      const last = epochs.at(-1) ?? 0;
      const word = here === null ? `${count(epochs.length)} epochs` : `epoch ${count(epochs[here] ?? 0)} of ${count(last)}`;
      say(says, word);
      range.setAttribute("aria-valuetext", word);
      name();
    },
    close() {
      clearInterval(playing);
      playing = undefined;
    },
  };
}
