// The numbers of a matrix as a table: to be read without a picture, and sorted by any of its columns.

/** @import {Counts} from "../types.d.ts" */
import { fill, h } from "./element.js";
import { count } from "./words.js";

/** @typedef {{ column: number | null, down: boolean }} Sorting null: the classes as they come */

/**
 * @param {Counts} counts at most 200 classes
 * @param {(row: number) => string} href the page of a class
 * @returns {HTMLTableElement}
 */
export function countsTable({ class_names, counts }, href) {
  /** @type {Sorting} */
  let sorted = { column: null, down: false };
  const body = h("tbody");
  const heads = class_names.map((name, column) => h("th", { scope: "col" }, h("button", { type: "button", class: "bare", title: `Sort by how often ${name} was said`, onclick: () => sort(column) }, name)));
  const corner = h("th", { scope: "col" }, h("button", { type: "button", class: "bare", title: "Back to the order of the classes", onclick: () => sort(null) }, "true class"));

  /** @param {number | null} column */
  function sort(column) {
    sorted = { column, down: column === sorted.column ? !sorted.down : column !== null };
    show();
  }

  function show() {
    const { column, down } = sorted;
    const worth = (/** @type {number} */ row) => (column === null ? row : (counts[row]?.[column] ?? 0));
    const order = class_names.map((_, row) => row).sort((a, b) => (down ? worth(b) - worth(a) : worth(a) - worth(b)) || a - b);
    for (const head of [corner, ...heads]) head.removeAttribute("aria-sort");
    (column === null ? corner : heads[column])?.setAttribute("aria-sort", down ? "descending" : "ascending");
    fill(
      body,
      ...order.map((row) =>
        h("tr", { "data-class": row }, h("th", { scope: "row" }, h("a", { href: href(row) }, class_names[row])), ...(counts[row] ?? []).map((value, at) => h("td", { class: row === at ? "right" : value ? "wrong" : "none" }, count(value)))),
      ),
    );
  }
  show();
  return h("table", {}, h("caption", {}, "Rows are the true class, columns the predicted one; a column's name sorts by it."), h("thead", {}, h("tr", {}, corner, ...heads)), body);
}
