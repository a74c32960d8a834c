// Windows of steps behind the points of a chart: which of them a stretch of the axis covers, and the marks over it.

/** @import {Marks, Meta, Run, View, Windows} from "../types.d.ts" */

/** The windows that a figure tells of, if it does. @param {Meta} meta @returns {Windows | null} */
export function windowsOf(meta) {
  if (!Array.isArray(meta.from) || !Array.isArray(meta.to) || (meta.x !== "step" && meta.x !== "epoch")) return null;
  return { x: meta.x, from: meta.from, to: meta.to, epoch: Array.isArray(meta.epoch) ? meta.epoch : null };
}

/**
 * The steps `[from, to)` of the windows whose points lie in a stretch of the axis; the nearest one if none does.
 * @param {Windows} windows
 * @param {[number, number]} range
 * @returns {[number, number] | null}
 */
export function covered(windows, range) {
  let first = windows.from.findIndex((_, at) => place(windows, at) >= range[0]);
  let last = windows.from.findLastIndex((_, at) => place(windows, at) <= range[1]);
  if (first < 0 || last < 0 || first > last) first = last = nearest(windows, (range[0] + range[1]) / 2);
  const from = windows.from[first];
  const to = windows.to[last];
  return from !== undefined && to !== undefined ? [from, to] : null;
}

/** @param {Windows} windows @param {number} x */
export function nearest(windows, x) {
  let best = 0;
  for (let at = 1; at < windows.from.length; at += 1) {
    if (Math.abs(place(windows, at) - x) < Math.abs(place(windows, best) - x)) best = at;
  }
  return best;
}

/** Where a window's point stands on the axis: at its epoch, or at the middle of its steps. @param {Windows} windows @param {number} at */
function place(windows, at) {
  return windows.epoch?.[at] ?? ((windows.from[at] ?? 0) + (windows.to[at] ?? 0) - 1) / 2;
}

/**
 * Hairlines where epochs begin, and the chosen window.
 * @param {Windows | null} windows
 * @param {View} view
 * @param {Run | null} run
 * @returns {Marks}
 */
export function marks(windows, view, run) {
  const begun = (run?.spans ?? []).filter((span) => span.split === view.split && span.epoch > 1);
  const every = Math.ceil(begun.length / 12);
  const none = windows?.x === "epoch" || begun.length > 60;
  const lines = none ? [] : begun.map(({ epoch, from }, index) => ({ at: from - 0.5, text: index % every === 0 ? `epoch ${epoch}` : "", short: index % every === 0 ? `${epoch}` : "" }));
  return { lines, window: shaded(windows, view, run) };
}

/**
 * The chosen window in the units of the x axis.
 * @param {Windows | null} windows
 * @param {View} view
 * @param {Run | null} run
 * @returns {[number, number] | null}
 */
function shaded(windows, view, run) {
  if (!windows?.from.length) return null;
  const chosen = view.epoch ? run?.spans.find((span) => span.split === view.split && span.epoch === view.epoch) : view;
  if (!chosen || (chosen.from === null && chosen.to === null)) return null;
  const first = chosen.from ?? 1;
  const end = chosen.to ?? windows.to.at(-1) ?? first + 1;
  if (windows.x === "step") return [first - 0.5, end - 0.5];
  const inside = (windows.epoch ?? []).filter((_, at) => (windows.from[at] ?? 0) < end && (windows.to[at] ?? 0) > first);
  return inside.length ? [Math.min(...inside) - 0.5, Math.max(...inside) + 0.5] : null;
}
