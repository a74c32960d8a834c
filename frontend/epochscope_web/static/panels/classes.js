// The curves of the classes, with the brush that chooses the window of the confusion matrix.

/** @import {Hair} from "./hair.js" */
/** @import {Drawing, Figure, Loop, Meta, Run, View, Windows} from "../types.d.ts" */
import { Chart } from "./chart.js";
import { focusChoice } from "./focus.js";
import { lit } from "./lit.js";
import { ofClass, output, outputName } from "./matrix.js";
import { covered, marks, nearest, windowsOf } from "./windows.js";
import { METRICS, count, steps } from "./words.js";

const MANY_CLASSES = 40; // with more lines than this, wider windows keep the drawing quick
const POINTS_OF_MANY = 150;
const MOST_POINTS = 2000;
const ROUND = [25, 50, 100, 200, 250, 500];

/** @param {Loop} loop @param {Hair} hair */
export function classes(loop, hair) {
  const chart = new Chart("F1 per class", "large", told);
  hair.join(chart, () => ({ meta: drawn, run }));
  const focus = focusChoice((chosen) => loop.go({ focus: chosen }), "worst three", (index) => loop.href({ ...loop.view(), ...ofClass(run, loop.view(), index) }));
  chart.element.insertBefore(focus.element, chart.element.children[1] ?? null);
  /** @type {Windows | null} */
  let windows = null;
  /** @type {Meta | null} */
  let drawn = null;
  /** @type {View} */
  let view = loop.view();
  /** @type {Run | null} */
  let run = null;

  /** @param {Figure} figure */
  function told({ layout: { meta } }) {
    drawn = meta;
    windows = windowsOf(meta);
    focus.set(output(run, view)?.class_names ?? [], view.focus, meta.focus ?? []);
    const from = windows?.from[0];
    const to = windows?.to[0];
    const each = view.by === "epoch" ? "epoch by epoch" : from && to ? `windows of ${count(to - from)} ${to - from === 1 ? "step" : "steps"}` : "";
    chart.note.textContent = meta.empty ? "" : `${view.split}, ${each}, 95 % bands. Drag to choose a window.`;
  }

  /** @returns {Drawing} */
  function drawing() {
    return {
      marks: marks(windows, view, run),
      onBrush: (range, done) => {
        const window = range && windows && covered(windows, range);
        if (window) loop.go({ from: window[0], to: window[1], epoch: null }, done ? "push" : "drag");
        else if (done) loop.go({ from: null, to: null, epoch: null });
      },
      onPoint: (x) => hair.point(chart, x),
      onClass: (index) => lit(index === null ? [] : [index]),
      onPick: (x) => {
        if (!windows) return;
        const at = nearest(windows, x);
        const epoch = windows.epoch?.[at];
        if (epoch !== undefined) loop.go({ epoch, from: null, to: null });
        else loop.go({ from: windows.from[at] ?? null, to: windows.to[at] ?? null, epoch: null });
      },
    };
  }

  return {
    element: chart.element,
    /** @param {View} now @param {Run} of @param {boolean} news */
    show(now, of, news) {
      view = now;
      run = of;
      const names = output(of, now)?.class_names ?? [];
      chart.title.textContent = `${METRICS[now.metric]} per class`;
      const query = {
        run: of.id,
        split: now.split,
        metric: now.metric,
        by: now.by,
        width: now.by === "batch" ? width(now, of, names.length) : null,
        focus: now.focus?.filter((index) => index < names.length).join(","),
        output: outputName(of, now),
        theme: loop.theme(),
      };
      chart.show("classes", query, news, drawing);
    },
    choose: () => focus.open(),
    /** @param {Chart} other the chart that is drawn before this one, where both are asked for */
    after: (other) => {
      chart.after = other;
    },
    tell: (/** @type {string} */ text) => {
      focus.element.hidden = true;
      chart.tell(text);
    },
    close: () => chart.close(),
  };
}

/** What of a window is chosen, in words. @param {View} view */
export function chosen(view) {
  if (view.epoch) return `epoch ${view.epoch}`;
  if (view.from === null && view.to === null) return "whole run";
  return view.to === null ? `from step ${count(view.from ?? 1)}` : steps(view.from ?? 1, view.to);
}

/** The width to ask for: null leaves it to the service. @param {View} view @param {Run} run @param {number} names */
function width(view, run, names) {
  const all = run.steps[view.split] ?? 0;
  if (view.width !== null) return Math.max(view.width, Math.ceil(all / MOST_POINTS));
  if (names <= MANY_CLASSES || all <= 25 * POINTS_OF_MANY) return null;
  const least = all / POINTS_OF_MANY;
  const scale = 10 ** Math.max(0, Math.floor(Math.log10(least)) - 1);
  return ROUND.map((round) => round * scale).find((round) => round >= least) ?? Math.ceil(least);
}
