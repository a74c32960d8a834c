// Two runs, or two windows of one: which two, the signed difference of their matrices, and how each class differs.

/** @import {Changed, Figure, Loop, Normalise, Run, View} from "../types.d.ts" */
import { Chart } from "./chart.js";
import { list, segments } from "./controls.js";
import { fill, h } from "./element.js";
import { NORMALISE, labelName, matrixNames, outputName } from "./matrix.js";
import { METRICS, change, changeOfCount, count, steps } from "./words.js";

const ROW = 24; // pixels of a class

/** @param {Loop} loop */
export function difference(loop) {
  const chart = new Chart("Difference of the matrices", "square", told);
  const bars = new Chart("Classes that differ", "deltas", barsTold);
  const first = list("From", (value) => choose(value, second.element.querySelector("select")?.value ?? ""));
  const second = list("to", (value) => choose(first.element.querySelector("select")?.value ?? "", value));
  const window = list("Window", (value) => value !== KEPT && loop.go({ epoch: value ? Number(value) : null, from: null, to: null }));
  const other = list("against window", (value) => value !== KEPT && loop.go({ second: value === "chosen" ? { epoch: view.epoch, from: view.from, to: view.to } : value ? { epoch: Number(value), from: null, to: null } : null }));
  const normalise = segments("Share", NORMALISE, (value) => loop.go({ normalise: /** @type {Normalise} */ (value) }));
  chart.tools.append(normalise.element);
  const key = h("p", { class: "key" });
  const rows = h("tbody");
  const head = h("tr", {}, h("th", { scope: "col" }, "true class, taken for"), h("th", { scope: "col", class: "n" }, "n"), h("th", { scope: "col", class: "n" }, "difference"));
  const changes = h("section", { class: "largest" }, h("h3", {}, "Largest differences"), h("table", {}, h("thead", {}, head), rows));
  const matrix = h("section", { class: "panel matrix" }, h("div", { class: "pairs" }, first.element, second.element, window.element, other.element), chart.element, key, changes);
  const classes = h("section", { class: "panel deltas-panel" }, bars.element);
  /** @type {View} */
  let view = loop.view();
  /** @type {Run[]} */
  let runs = [];

  /** Which two runs are compared: a baseline stays, the others change places. @param {string} a @param {string} b */
  function choose(a, b) {
    if (a === b) [a, b] = [runs[1]?.id ?? a, runs[0]?.id ?? b];
    const rest = view.runs.filter((id) => id !== a && id !== b);
    loop.go({ runs: [a, b, ...rest].filter((id) => view.runs.includes(id)), ...(view.baseline && view.baseline !== a ? { baseline: a } : {}) });
  }

  /** @param {Figure} figure */
  function told({ layout: { meta } }) {
    const found = /** @type {Changed[]} */ (meta.largest ?? []);
    const names = matrixNames(runs[0] ?? null, view);
    const form = meta.unit === "predictions" ? changeOfCount : change;
    const what = runs.length > 1 ? "run" : "window";
    changes.hidden = key.hidden = meta.empty === true;
    fill(key, h("i", { class: "better", "aria-hidden": "true" }), `second ${what} better`, h("i", { class: "worse", "aria-hidden": "true" }), `second ${what} worse. Numbers: second minus first, in ${meta.unit ?? "percentage points"}, where noise does not explain them.`);
    fill(
      rows,
      ...found.slice(0, 8).map((one) =>
        h(
          "tr",
          {},
          h("td", {}, names[one.true] ?? "", h("span", { class: "arrow" }, " → "), one.true === one.predicted ? h("em", {}, "recognised") : (names[one.predicted] ?? "")),
          h("td", { class: "n" }, `${count(one.a)} → ${count(one.b)}`),
          h("td", { class: `n ${one.better ? "better" : "worse"}` }, h("i", { "aria-hidden": "true" }, one.better ? "◆" : "▲"), ` ${form(one.difference)}`, h("span", { class: "unseen" }, one.better ? " better" : " worse")),
        ),
      ),
      found.length === 0 && h("tr", {}, h("td", { colspan: 3 }, "None beyond sampling noise.")),
    );
  }

  /** @param {Figure} figure */
  function barsTold({ layout: { meta } }) {
    /** @type {HTMLElement} */ (bars.plot.parentElement).style.height = `${meta.empty ? 120 : Math.max((meta.rows?.length ?? 1) * ROW + 70, 150)}px`;
    const folded = meta.folded ? ` ${count(meta.folded)} classes more.` : "";
    fill(bars.note, meta.empty ? "" : `${meta.summary}${folded} Lines: 95 %; grey: it spans 0. ◆: real among all classes.`);
  }

  /** @param {Run[]} both @param {View} now @returns {View["second"]} */
  function secondWindow(both, now) {
    if (now.second || both.length > 1) return now.second;
    const last = (both[0]?.spans ?? []).filter((span) => span.split === now.split).map(({ epoch }) => epoch).at(-1);
    return last ? { epoch: last, from: null, to: null } : null;
  }

  return {
    matrix,
    classes,
    /** @param {View} now @param {Run[]} of @param {boolean} news */
    show(now, of, news) {
      view = now;
      const base = of.find(({ id }) => id === now.baseline) ?? of[0];
      const next = of.find((run) => run !== base);
      runs = [base, next].filter((run) => run !== undefined);
      const options = of.map((run) => /** @type {[string, string]} */ ([run.id, run.name]));
      first.set(base?.id ?? "", options);
      second.set(next?.id ?? "", options);
      const both = runs.map((run) => run.spans.filter((span) => span.split === now.split).map((span) => span.epoch));
      const epochs = (both[0] ?? []).filter((one) => both[1]?.includes(one) ?? true);
      const mine = epochs.map((one) => /** @type {[string, string]} */ ([String(one), `epoch ${one}`]));
      const apart = secondWindow(runs, now);
      const alone = runs.length === 1;
      const epoch = now.epoch ?? (alone && now.from === null && now.to === null ? (both[0]?.[0] ?? null) : null);
      const steps = now.from !== null || now.to !== null;
      window.set(steps ? KEPT : epoch ? String(epoch) : "", [...(steps ? [/** @type {[string, string]} */ ([KEPT, stepsOf(now)])] : []), ["", "whole run"], ...mine]);
      const told = apart && !apart.epoch ? [/** @type {[string, string]} */ ([KEPT, stepsOf(apart)])] : [];
      other.set(apart?.epoch ? String(apart.epoch) : apart ? KEPT : "", [...told, ...(alone ? [] : [/** @type {[string, string]} */ (["", "the same"])]), ...(steps ? [/** @type {[string, string]} */ (["chosen", "the one chosen now"])] : []), ...mine]);
      normalise.set(now.normalise);
      const query = {
        runs: runs.map(({ id }) => id).join(","),
        split: now.split,
        epoch,
        from: now.from,
        to: now.to,
        second_epoch: apart?.epoch,
        second_from: apart?.from,
        second_to: apart?.to,
        output: outputName(runs[0] ?? null, now),
        label: labelName(runs[0] ?? null, now),
        theme: loop.theme(),
      };
      if (alone && !apart) {
        this.tell("Two windows of one run are compared; this one has a single epoch.");
        return;
      }
      const where = steps ? stepsOf(now) : epoch ? `epoch ${epoch}` : "whole run";
      chart.note.textContent = `${now.split}, ${where}${apart ? ` to ${apart.epoch ? `epoch ${apart.epoch}` : stepsOf(apart)}` : ""}`;
      bars.title.textContent = `${METRICS[now.metric]}: classes that differ`;
      chart.show("compare", { ...query, normalise: now.normalise }, news);
      bars.show("deltas", { ...query, metric: now.metric }, news);
    },
    /** @param {string} text */
    tell(text) {
      chart.tell(text);
      bars.tell(text);
      changes.hidden = key.hidden = true;
    },
    close() {
      chart.close();
      bars.close();
    },
  };
}

const KEPT = "kept"; // steps that were brushed: no list offers them

/** @param {{ from: number | null, to: number | null }} window */
const stepsOf = ({ from, to }) => (to === null ? `from step ${count(from ?? 1)}` : steps(from ?? 1, to));
