// The view and its address: everything that a viewer has chosen is in the URL, and only what differs from the default.

/** @import {By, Metric, Normalise, Split, Steadiness, View} from "./types.d.ts" */

/** @type {View} */
export const DEFAULT = Object.freeze({
  page: "runs",
  run: "",
  runs: [],
  q: "",
  sort: "",
  split: "train",
  metric: "f1",
  by: "batch",
  width: null,
  from: null,
  to: null,
  epoch: null,
  normalise: "true",
  focus: null,
  cell: null,
  steadiness: "raster",
  rows: null,
  key: "",
  smooth: 0,
  output: "",
  label: "",
  theme: "system",
});

/**
 * The view that an address stands for; what it says wrongly is left at the default.
 * @param {URL} url
 * @returns {View}
 */
export function read(url) {
  const query = url.searchParams;
  const from = step(query.get("from"));
  const to = step(query.get("to"));
  const window = from !== null && to !== null && from >= to ? { from: null, to: null } : { from, to };
  return {
    ...DEFAULT,
    ...place(url.pathname),
    runs: list(query.get("runs")),
    q: query.get("q") ?? "",
    sort: query.get("sort") ?? "",
    split: /** @type {Split} */ (one(query.get("split"), ["train", "val", "test"])),
    metric: /** @type {Metric} */ (one(query.get("metric"), ["f1", "recall", "precision"])),
    by: /** @type {By} */ (one(query.get("by"), ["batch", "epoch"])),
    width: step(query.get("width")),
    ...window,
    epoch: window.from === null && window.to === null ? step(query.get("epoch")) : null,
    normalise: /** @type {Normalise} */ (one(query.get("normalise"), ["true", "none", "predicted"])),
    focus: query.has("focus") ? list(query.get("focus")).map(Number).filter((index) => Number.isSafeInteger(index) && index >= 0) : null,
    cell: pair(query.get("cell")),
    steadiness: /** @type {Steadiness} */ (one(query.get("steadiness"), ["raster", "multiples"])),
    rows: step(query.get("rows")),
    key: query.get("key") ?? "",
    smooth: share(query.get("smooth")),
    output: query.get("output") ?? "",
    label: query.get("label") ?? "",
    theme: /** @type {View["theme"]} */ (one(query.get("theme"), ["system", "light", "dark"])),
  };
}

/**
 * The address of a view: path and query.
 * @param {View} view
 */
export function write(view) {
  const query = new URLSearchParams();
  for (const name of /** @type {const} */ (["q", "sort", "split", "metric", "by", "width", "from", "to", "epoch", "normalise", "steadiness", "rows", "key", "smooth", "output", "label", "theme"])) {
    const value = view[name];
    if (value !== DEFAULT[name] && value !== null) query.set(name, String(value));
  }
  if (view.runs.length && view.page !== "run") query.set("runs", view.runs.join(","));
  if (view.focus !== null) query.set("focus", view.focus.join(","));
  if (view.cell !== null) query.set("cell", view.cell.join(","));
  const path = view.page === "run" ? `/runs/${encodeURIComponent(view.run)}` : view.page === "compare" ? "/compare" : "/";
  const said = query.toString().replaceAll("%2C", ",");
  return said ? `${path}?${said}` : path;
}

/** @param {string} path @returns {Pick<View, "page" | "run">} */
function place(path) {
  const found = /^\/runs\/([0-9a-z]{8,32})\/?$/.exec(path);
  if (found?.[1]) return { page: "run", run: found[1] };
  if (path === "/compare") return { page: "compare", run: "" };
  return { page: path === "/" ? "runs" : "lost", run: "" };
}

/** @param {string | null} text */
function step(text) {
  const value = text !== null && /^[0-9]{1,16}$/.test(text) ? Number(text) : null;
  return value !== null && value >= 1 && Number.isSafeInteger(value) ? value : null;
}

/** Two indices. @param {string | null} text @returns {[number, number] | null} */
function pair(text) {
  const found = /^([0-9]{1,6}),([0-9]{1,6})$/.exec(text ?? "");
  return found ? [Number(found[1]), Number(found[2])] : null;
}

/** @param {string | null} text */
function share(text) {
  const value = Number(text ?? 0);
  return value > 0 && value < 1 ? value : 0;
}

/** @param {string | null} text */
function list(text) {
  return [...new Set((text ?? "").split(",").filter(Boolean))];
}

/** The value if it is one of those known, else the first of them. @param {string | null} text @param {string[]} known */
function one(text, known) {
  return text !== null && known.includes(text) ? text : known[0];
}
