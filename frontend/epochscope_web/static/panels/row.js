// One run in the list: its state, its name, its tags, and a cell for each column.

/** @import {Column} from "./columns.js" */
/** @import {ListedRun, Loop} from "../types.d.ts" */
import { h } from "./element.js";
import { withTag } from "./filter.js";
import { alertMark, statusMark } from "./header.js";
import { fewer, measure } from "./words.js";

/** What a link into another page does not take along from the list. */
export const FRESH = Object.freeze({ q: "", sort: "", runs: /** @type {string[]} */ ([]), columns: null, group: "" });

/**
 * @param {Loop} loop
 * @param {ListedRun} run
 * @param {Column[]} columns
 * @param {number} floor where the courses have their foot
 * @param {(on: boolean, range: boolean) => void} pick `range`: with all between this run and the one picked before
 */
export function rowOf(loop, run, columns, floor, pick) {
  let shift = false;
  const box = h("input", {
    type: "checkbox",
    class: "choose",
    value: run.id,
    "aria-label": `Compare ${run.name}`,
    onclick: (event) => (shift = event.shiftKey),
    onchange: () => {
      pick(box.checked, shift);
      shift = false;
    },
  });
  const tags = run.tags.map((tag) => h("button", { type: "button", class: "bare tag", title: "Only runs with this tag", onclick: () => loop.go({ q: withTag(loop.view().q, tag) }) }, tag));
  return h(
    "tr",
    { "data-run": run.id },
    h("td", { class: "pick" }, box),
    h("td", { class: "state" }, statusMark(run)),
    h("th", { scope: "row" }, h("a", { class: "name", href: loop.href({ ...FRESH, page: "run", run: run.id }) }, run.name), h("span", { class: "project" }, run.project), ...tags, alertMark(run)),
    ...columns.map((column) => h("td", { class: column.kind }, ...column.show(run, floor))),
  );
}

/**
 * The head of a group: what its runs have in common, how many there are, and the mean of each number.
 * @param {string} param
 * @param {string} value
 * @param {ListedRun[]} runs
 * @param {Column[]} columns
 * @param {boolean} more whether further runs of it are not loaded yet
 */
export function groupRow(param, value, runs, columns, more) {
  const many = `${fewer.format(runs.length)}${more ? " or more" : ""} ${runs.length === 1 && !more ? "run" : "runs"}`;
  return h(
    "tr",
    { class: "group" },
    h("th", { scope: "rowgroup", colspan: 3 }, h("span", { class: "project" }, `${param} `), h("b", {}, value), h("small", {}, ` ${many}`)),
    ...columns.map((column) => {
      if (column.id === `params.${param}`) return h("td");
      const numbers = runs.map((run) => column.value?.(run)).filter((one) => typeof one === "number");
      if (numbers.length < 2) return h("td", { class: column.kind });
      const mean = numbers.reduce((sum, one) => sum + one, 0) / numbers.length;
      return h("td", { class: column.kind, title: `Mean of ${numbers.length} runs, ${measure(Math.min(...numbers))} to ${measure(Math.max(...numbers))}` }, h("small", {}, "⌀ "), measure(mean));
    }),
  );
}
