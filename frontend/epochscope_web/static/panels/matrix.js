// The confusion matrix of the chosen window, how it is drawn, what was confused most, and the same numbers as a table.

/** @import {Confused, Figure, Ink, Loop, Meta, Normalise, Order, Run, View} from "../types.d.ts" */
import * as api from "../api.js";
import { Chart } from "./chart.js";
import { confusedList } from "./confused.js";
import { list, segments } from "./controls.js";
import { countsTable } from "./counts.js";
import { fill, h } from "./element.js";
import { lit } from "./lit.js";
import { scrubber } from "./scrub.js";
import { count, steps } from "./words.js";

const TABLE_CLASSES = 200;
const MATRIX_CLASSES = 1000;
const PATIENCE_MS = 250; // after a key of the search

/** @type {[Normalise, string][]} */
export const NORMALISE = [
  ["true", "of true"],
  ["predicted", "of predicted"],
  ["none", "counts"],
];
/** @type {[Order, string][]} */
const ORDERS = [["index", "as they are"], ["name", "by name"], ["support", "by support"], ["error", "by error"], ["similar", "similar together"]];
/** @type {[Ink, string][]} */
const INKS = [["root", "root"], ["linear", "linear"], ["log", "log"]];

/** @param {Loop} loop */
export function matrix(loop) {
  const chart = new Chart("Confusion", "square", told);
  const normalise = segments("Share", NORMALISE, (value) => loop.go({ normalise: value }));
  chart.tools.append(normalise.element);
  const order = list("Classes", (value) => loop.go({ order: /** @type {Order} */ (value) }));
  const ink = segments("Ink", INKS, (value) => loop.go({ ink: value }));
  const right = h("input", { type: "checkbox", onchange: () => loop.go({ diagonal: right.checked ? "show" : "hide" }) });
  const looks = h("div", { class: "looks" }, order.element, ink.element, h("label", { class: "check" }, right, h("span", {}, "diagonal")));
  order.element.title = "Ordered by the counts of the whole run, so that rows stay while the window moves";
  ink.element.title = "How ink grows with the value: by its root or logarithm small confusions are seen too";
  chart.element.insertBefore(looks, chart.element.children[1] ?? null);
  const scrub = scrubber(loop, () => chart.element.hasAttribute("aria-busy"));
  const confused = confusedList((row, column) => follow(row, column), search);
  const cells = h("div", { class: "cells", tabindex: "0", role: "region", "aria-label": "Confusion counts as a table" });
  const table = h("details", { class: "twin" }, h("summary", {}, "Counts as a table"), cells);
  const element = h("section", { class: "matrix panel" }, chart.element, scrub.element, confused.element, table);
  /** @type {View | null} */
  let view = null;
  /** @type {Run | null} */
  let run = null;
  /** @type {AbortController | null} */
  let asked = null;
  /** @type {AbortController | null} */
  let searched = null;
  /** The class at each place of the matrix. @type {number[]} */
  let classAt = [];
  /** How far a map is from showing every cell. @type {Meta["map"]} */
  let map;
  /** The part of a map that is drawn finer, as it is asked for; "": none. */
  let area = "";
  /** What the places of the map are those of. */
  let mapped = "";
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let typing;
  table.addEventListener("toggle", () => void tabulate());

  const query = () => ({ split: view?.split, from: view?.from, to: view?.to, epoch: view?.epoch, output: outputName(run, view), label: labelName(run, view) });

  /** @param {Figure} figure */
  function told({ layout: { meta } }) {
    chart.title.textContent = ["Confusion", labelName(run, view), named(meta)].filter(Boolean).join(", ");
    const how = meta.empty ? "" : " Click a cell to follow it, a name for its class.";
    chart.note.textContent = meta.total ? `${count(meta.total)} predictions, ${count(meta.right ?? 0)} right.${how}` : "";
    chart.element.classList.toggle("unpainted", meta.empty === true && meta.total !== undefined);
    classAt = meta.order ?? [];
    map = meta.map;
    const names = matrixNames(run, view);
    if (view?.find && names.length) void find();
    else confused.set({ confused: /** @type {Confused[]} */ (meta.largest ?? []), total: meta.total ?? 0, right: meta.right ?? 0, different: meta.different ?? 0, names, find: "" });
    confused.link(api.address("/tables/confused", { run: run?.id, ...query(), find: view?.find }));
    void tabulate();
  }

  /** @param {Meta} meta */
  function named(meta) {
    const split = view?.split ?? "train";
    if (typeof meta.from !== "number" || typeof meta.to !== "number") return split;
    const window = steps(meta.from, meta.to);
    if (view?.epoch) return split === "val" ? `after epoch ${view.epoch} (${split} ${window})` : `${split} epoch ${view.epoch} (${window})`;
    return `${split} ${window}`;
  }

  /** Follow a cell over time, with its classes in focus. @param {number} row @param {number} column */
  function follow(row, column) {
    const label = labelIndex(run, view);
    loop.go({ cell: [row, column], focus: label !== null ? [label] : row === column ? [row] : [row, column] });
  }

  /** @param {string} words */
  function search(words) {
    clearTimeout(typing);
    typing = setTimeout(() => loop.go({ find: words }, "replace"), PATIENCE_MS);
  }

  /** The confusions that were looked for, of the window shown. */
  async function find() {
    if (!run || !view) return;
    searched?.abort();
    searched = new AbortController();
    const { signal } = searched;
    const names = matrixNames(run, view);
    const words = view.find;
    try {
      const found = await api.confused(run.id, { ...query(), find: words }, signal);
      confused.set({ ...found, names, find: words });
    } catch {
      // The chart above says what is wrong, and asks again.
    }
  }

  async function tabulate() {
    if (!table.open || !run) return;
    asked?.abort();
    asked = new AbortController();
    const { signal } = asked;
    const id = run.id;
    try {
      const names = matrixNames(run, view);
      if (names.length > TABLE_CLASSES) {
        const href = api.address(names.length > MATRIX_CLASSES ? "/tables/confused" : "/tables/confusion", { run: id, ...query() });
        fill(cells, h("p", {}, `${count(names.length)} classes are too many for a table on a page. `, h("a", { href, download: true }, "All of it as CSV")));
        return;
      }
      const counts = await api.confusion(id, query(), signal);
      const labels = labelIndex(run, view) !== null;
      fill(cells, countsTable(counts, (row) => loop.href({ ...loop.view(), class: labels ? labelIndex(run, view) : row })));
    } catch (error) {
      if (!signal.aborted) fill(cells, h("p", {}, error instanceof Error ? error.message : String(error)));
    }
  }

  /** A cell of the picture is that of two classes; of very many it tells itself which. @param {number} row @param {number} column @param {unknown} cell */
  function chosen(row, column, cell) {
    if (typeof cell !== "number") follow(classAt[row] ?? row, classAt[column] ?? column);
    else follow(classAt[Math.floor(cell / classAt.length)] ?? 0, classAt[cell % classAt.length] ?? 0);
  }

  /** What is seen of a map is asked for in squares that are as small as it allows. @param {[number, number]} across @param {[number, number]} upright */
  function zoomed(across, upright) {
    if (!map || map.side < 2 || !view || !run) return;
    const inside = (/** @type {[number, number]} */ ends) => {
      const [low, high] = [Math.min(...ends), Math.max(...ends)];
      const first = Math.min(Math.max(0, Math.floor(low + 0.5)), classAt.length - 1);
      return [first, Math.max(first + 1, Math.min(classAt.length, Math.ceil(high + 0.5)))];
    };
    const [top = 0, bottom = 0] = inside(upright);
    const [left = 0, right = 0] = inside(across);
    const finer = Math.ceil(Math.max(bottom - top, right - left) / map.squares) < map.side;
    const next = finer ? [top, bottom, left, right].join() : "";
    if (next === area) return;
    area = next;
    draw(view, run, false);
  }

  /** @param {View} now @param {Run} of @param {boolean} news */
  function draw(now, of, news) {
    const asking = { run: of.id, ...query(), normalise: now.normalise, diagonal: now.diagonal, ink: now.ink, order: now.order, area, theme: loop.theme() };
    chart.show("confusion", asking, news, () => ({
      cell: now.cell && /** @type {[number, number]} */ (now.cell.map((index) => (classAt.length ? classAt.indexOf(index) : index))),
      onCell: chosen,
      onName: (place) => {
        const index = labelIndex(of, now) ?? classAt[place];
        if (index !== undefined) loop.go({ class: index });
      },
      onHover: (places) => lit(places && labelIndex(of, now) === null ? places.map((place) => classAt[place] ?? -1) : []),
      onZoom: zoomed,
    }));
  }

  return {
    element,
    /** @param {View} now @param {Run} of @param {boolean} news */
    show(now, of, news) {
      const before = view?.find;
      view = now;
      run = of;
      const classes = matrixNames(of, now).length;
      normalise.set(now.normalise);
      scrub.show(now, of);
      order.set(now.order, classes > 2 ? ORDERS : []);
      ink.set(now.ink);
      right.checked = now.diagonal === "show";
      looks.hidden = classes > MATRIX_CLASSES;
      const places = JSON.stringify([of.id, outputName(of, now), labelName(of, now), now.order]);
      if (mapped !== places) area = "";
      mapped = places;
      draw(now, of, news);
      if (before !== undefined && before !== now.find) chart.again();
    },
    /** @param {string} text */
    tell(text) {
      chart.tell(text);
      confused.element.hidden = true;
      scrub.element.hidden = true;
      looks.hidden = true;
      table.hidden = true;
    },
    /** Look for confusions, if there are enough of them. */
    search: () => confused.focus(),
    /** Open the table of counts, or close it. */
    table() {
      table.open = !table.open;
      if (table.open) cells.focus();
    },
    close() {
      asked?.abort();
      searched?.abort();
      scrub.close();
      clearTimeout(typing);
      chart.close();
    },
  };
}

/** The output of a run that the view is of. @param {Run | null} run @param {View | null} view */
export function output(run, view) {
  return run?.outputs.find(({ name }) => name === view?.output) ?? run?.outputs[0];
}

/** The name to ask with: where a run has several outputs, one must be named. @param {Run | null} run @param {View | null} view */
export function outputName(run, view) {
  return run && run.outputs.length > 1 ? output(run, view)?.name : "";
}

/** The label whose 2x2 is shown, where samples may have several labels. @param {Run | null} run @param {View | null} view */
export function labelName(run, view) {
  const of = output(run, view);
  return of?.labels ? (of.class_names.find((name) => name === view?.label) ?? of.class_names[0] ?? "") : "";
}

/** The place of that label; null where an output has classes. @param {Run | null} run @param {View | null} view */
export function labelIndex(run, view) {
  const of = output(run, view);
  return of?.labels ? of.class_names.indexOf(labelName(run, view)) : null;
}

/** What changes of a view to give the page to a class, or to a label. @param {Run | null} run @param {View | null} view @param {number} index */
export function ofClass(run, view, index) {
  const of = output(run, view);
  return { class: index, ...(of?.labels ? { label: of.class_names[index] ?? "" } : {}) };
}

/** The labels to choose among. @param {Run | null} run @param {View | null} view @returns {[string, string][]} */
export function labelOptions(run, view) {
  const of = output(run, view);
  return of?.labels ? of.class_names.map((name) => [name, name]) : [];
}

/** The names on both sides of the matrix. @param {Run | null} run @param {View | null} view */
export function matrixNames(run, view) {
  const of = output(run, view);
  return of?.labels ? ["no", "yes"] : (of?.class_names ?? []);
}
