// Taking a chart away: as a picture, as a table, as a figure for Plotly, as the Python that asks for the same.

/** @import {FigureName, Query} from "../types.d.ts" */
import { address } from "../api.js";
import { picture } from "../draw.js";
import { popover } from "./controls.js";
import { h } from "./element.js";

// What only says how a figure looks; its table has all rows and columns.
const LOOKS = new Set(["theme", "focus", "metric", "normalise", "diagonal", "ink", "order", "view", "rows", "compact", "columns", "log", "inliers", "area"]);

/** The tables behind a figure, where they are not called as it is. @type {Partial<Record<FigureName, string[]>>} */
const TABLES = { stability: ["stability", "changes"], deltas: ["compare"] };

/**
 * @param {HTMLElement} plot
 * @param {() => string} title
 * @param {() => string} says one sentence on what is shown
 */
export function saving(plot, title, says) {
  const tables = h("div", { class: "links" });
  const figure = h("a", {}, "Figure (JSON)");
  const code = h("textarea", { readonly: true, rows: 8, "aria-label": "Python", spellcheck: "false", hidden: true });
  const copy = h("button", { type: "button", class: "bare", onclick: () => void copied() }, "Copy as Python");
  const pictures = /** @type {const} */ (["png", "svg"]).map((format) => h("button", { type: "button", class: "bare", onclick: () => void keep(format) }, `Picture (${format.toUpperCase()})`));
  const menu = popover("Save", ...pictures, tables, figure, copy, code);
  menu.element.classList.add("save");
  menu.element.hidden = true;
  let python = "";

  /** @param {"png" | "svg"} format */
  async function keep(format) {
    const link = h("a", { href: await picture(plot, format, title(), `${document.title}: ${says()}`), download: `${fileName(title())}.${format}` });
    link.click();
    menu.close();
  }

  async function copied() {
    try {
      await navigator.clipboard.writeText(python);
      copy.textContent = "Copied";
      setTimeout(() => (copy.textContent = "Copy as Python"), 2000);
    } catch {
      code.hidden = false; // a browser hands out the clipboard only to pages it calls safe
      code.value = python;
      code.select();
    }
  }

  return {
    element: menu.element,
    /** What is drawn now. @param {FigureName} name @param {Query} query */
    of(name, query) {
      menu.element.hidden = false;
      code.hidden = true;
      const plain = Object.fromEntries(Object.entries(query).filter(([key]) => !LOOKS.has(key)));
      const there = TABLES[name] ?? [name];
      tables.replaceChildren(...there.map((table) => h("a", { href: address(`/tables/${table}`, plain), download: true }, there.length > 1 ? `Table of ${table} (CSV)` : "Table (CSV)")));
      const drawn = address(`/figures/${name}`, query);
      figure.href = drawn;
      figure.download = `${fileName(title())}.json`;
      python = [
        "import json",
        "from urllib.request import urlopen",
        "",
        "import pandas as pd",
        "import plotly.graph_objects as go",
        "",
        `rows = pd.read_csv(${JSON.stringify(location.origin + address(`/tables/${there[0]}`, plain))})`,
        `figure = go.Figure(json.load(urlopen(${JSON.stringify(location.origin + drawn)})))`,
        "",
      ].join("\n");
    },
  };
}

/** @param {string} title */
const fileName = (title) => `epochscope ${title}`.replace(/[^\p{L}\p{N}.-]+/gu, "-").slice(0, 100);
