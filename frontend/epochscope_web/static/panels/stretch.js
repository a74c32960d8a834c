// A stretch of a series' x axis as a window of the view's split, and back: series stand on training, whatever is counted.

/** @import {Meta, Run, View} from "../types.d.ts" */

/** @typedef {{ from: number, to: number }} Steps half-open */

/** The training steps under a stretch of the axis. @param {Meta} meta @param {[number, number]} range @returns {Steps} */
export function trained(meta, [low, high]) {
  const step = (/** @type {number} */ x) => (meta.places ? between(meta.places.x, meta.places.step, x) : x);
  const from = Math.max(1, meta.places ? Math.floor(step(low)) + 1 : Math.ceil(low));
  return { from, to: Math.max(from + 1, Math.floor(step(high)) + 1) };
}

/** Where training steps stand on the axis. @param {Meta} meta @param {Steps} steps @returns {[number, number]} */
export function places(meta, { from, to }) {
  if (!meta.places) return [from - 0.5, to - 0.5];
  const { x, step } = meta.places;
  return [between(step, x, from - 1), between(step, x, to - 1)];
}

/**
 * Training steps as a window of the view's split: of validation, the passes after the epochs that they are of.
 * @param {Steps} steps
 * @param {View} view
 * @param {Run} run
 * @returns {Partial<View>}
 */
export function windowOf(steps, view, run) {
  const last = (run.steps.train ?? steps.to) + 1;
  const inside = { from: Math.min(steps.from, last - 1), to: Math.min(steps.to, last) };
  if (view.split === "train") return { ...inside, epoch: null };
  const epochs = run.spans.filter((span) => span.split === "train" && span.from < inside.to && span.to > inside.from).map(({ epoch }) => epoch);
  const passes = run.spans.filter((span) => span.split === view.split && epochs.includes(span.epoch));
  if (!passes.length) return { ...inside, epoch: null, split: "train" };
  return { from: Math.min(...passes.map(({ from }) => from)), to: Math.max(...passes.map(({ to }) => to)), epoch: null };
}

/** The training steps that belong to the view's window; null: all. @param {View} view @param {Run | null} run @returns {Steps | null} */
export function chosenSteps(view, run) {
  if (view.epoch !== null) return joined(run, [view.epoch]);
  if (view.from === null && view.to === null) return null;
  const [from, to] = [view.from ?? 1, view.to ?? (run?.steps[view.split] ?? 1) + 1];
  if (view.split === "train") return to > from ? { from, to } : null;
  return joined(run, (run?.spans ?? []).filter((span) => span.split === view.split && span.from < to && span.to > from).map(({ epoch }) => epoch));
}

/** The training steps of these epochs. @param {Run | null} run @param {number[]} epochs @returns {Steps | null} */
function joined(run, epochs) {
  const spans = (run?.spans ?? []).filter((span) => span.split === "train" && epochs.includes(span.epoch));
  return spans.length ? { from: Math.min(...spans.map(({ from }) => from)), to: Math.max(...spans.map(({ to }) => to)) } : null;
}

/** What stands at `at` where `from[i]` stands at `to[i]`; straight between, and at the ends beyond. @param {number[]} from @param {number[]} to @param {number} at */
export function between(from, to, at) {
  const next = from.findIndex((value) => value >= at);
  if (next < 0) return to.at(-1) ?? at;
  if (next === 0) return to[0] ?? at;
  const [low = 0, high = 0, first = 0, last = 0] = [from[next - 1], from[next], to[next - 1], to[next]];
  return high > low ? first + ((at - low) / (high - low)) * (last - first) : last;
}
