// The view and its address: everything that a viewer has chosen is in the URL, and only what differs from the default.

/** @import {By, Ink, Order, Metric, Normalise, Split, Steadiness, View} from "./types.d.ts" */

/** @type {View} */
export const DEFAULT = Object.freeze({
  page: "runs",
  run: "",
  runs: [],
  q: "",
  sort: "",
  columns: null,
  group: "",
  project: "",
  kind: "",
  on: false,
  split: "train",
  metric: "f1",
  by: "batch",
  width: null,
  from: null,
  to: null,
  epoch: null,
  normalise: "true",
  diagonal: "show",
  ink: "root",
  order: "index",
  find: "",
  class: null,
  focus: null,
  cell: null,
  steadiness: "raster",
  rows: null,
  keys: [],
  of: "",
  x: "",
  smooth: 0,
  sliding: 1,
  log: false,
  inliers: false,
  running: false,
  zoom: false,
  seeds: "apart",
  baseline: "",
  second: null,
  axes: null,
  colour: "",
  brush: [],
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
    columns: query.has("column") ? [...new Set(query.getAll("column").filter(Boolean))] : null,
    group: query.get("group") ?? "",
    project: query.get("project") ?? "",
    kind: query.get("kind") ?? "",
    on: query.get("on") === "true",
    split: /** @type {Split} */ (one(query.get("split"), ["train", "val", "test"])),
    metric: /** @type {Metric} */ (one(query.get("metric"), ["f1", "recall", "precision"])),
    by: /** @type {By} */ (one(query.get("by"), ["batch", "epoch"])),
    width: step(query.get("width")),
    ...window,
    epoch: window.from === null && window.to === null ? step(query.get("epoch")) : null,
    normalise: /** @type {Normalise} */ (one(query.get("normalise"), ["true", "none", "predicted"])),
    diagonal: /** @type {View["diagonal"]} */ (one(query.get("diagonal"), ["show", "hide"])),
    ink: /** @type {Ink} */ (one(query.get("ink"), ["root", "linear", "log"])),
    order: /** @type {Order} */ (one(query.get("order"), ["index", "name", "support", "error", "similar"])),
    find: query.get("find") ?? "",
    class: /^[0-9]{1,6}$/.test(query.get("class") ?? "") ? Number(query.get("class")) : null,
    focus: query.has("focus") ? list(query.get("focus")).map(Number).filter((index) => Number.isSafeInteger(index) && index >= 0) : null,
    cell: pair(query.get("cell")),
    steadiness: /** @type {Steadiness} */ (one(query.get("steadiness"), ["raster", "multiples"])),
    rows: step(query.get("rows")),
    keys: [...new Set(query.getAll("key").filter(Boolean))],
    of: /** @type {View["of"]} */ (one(query.get("of"), ["", "train", "val", "test"])),
    x: /** @type {View["x"]} */ (one(query.get("x"), ["", "step", "epoch", "samples", "time"])),
    smooth: share(query.get("smooth")),
    sliding: step(query.get("sliding")) ?? 1,
    log: query.get("log") === "true",
    inliers: query.get("inliers") === "true",
    running: query.get("running") === "true",
    zoom: query.get("zoom") === "true",
    seeds: /** @type {View["seeds"]} */ (one(query.get("seeds"), ["apart", "together"])),
    baseline: query.get("baseline") ?? "",
    second: other(query.get("second")),
    axes: query.has("axis") ? [...new Set(query.getAll("axis").filter(Boolean))] : null,
    colour: query.get("colour") ?? "",
    brush: query.getAll("brush").filter(Boolean),
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
  for (const name of /** @type {const} */ (["q", "sort", "group", "project", "kind", "on", "split", "metric", "by", "width", "from", "to", "epoch", "normalise", "diagonal", "ink", "order", "find", "class", "steadiness", "rows", "of", "x", "smooth", "sliding", "log", "inliers", "running", "zoom", "seeds", "baseline", "colour", "output", "label", "theme"])) {
    const value = view[name];
    if (value !== DEFAULT[name] && value !== null) query.set(name, String(value));
  }
  if (view.columns !== null) for (const column of view.columns.length ? view.columns : [""]) query.append("column", column);
  if (view.runs.length && view.page !== "run") query.set("runs", view.runs.join(","));
  for (const key of view.keys) query.append("key", key);
  for (const axis of view.axes ?? []) query.append("axis", axis);
  for (const range of view.brush) query.append("brush", range);
  if (view.second !== null) query.set("second", view.second.epoch !== null ? `epoch ${view.second.epoch}` : `${view.second.from ?? ""}-${view.second.to ?? ""}`);
  if (view.focus !== null) query.set("focus", view.focus.join(","));
  if (view.cell !== null) query.set("cell", view.cell.join(","));
  const run = `/runs/${encodeURIComponent(view.run)}`;
  const path = view.page === "run" ? run : view.page === "about" ? `${run}/about` : PLAIN.includes(view.page) ? `/${view.page}` : "/";
  const said = query.toString().replaceAll("%2C", ",");
  return said ? `${path}?${said}` : path;
}

/** Pages that are about no single run and are called as their address. @type {View["page"][]} */
const PLAIN = ["compare", "alerts", "settings"];

/** @param {string} path @returns {Pick<View, "page" | "run">} */
function place(path) {
  const [, run, about] = /^\/runs\/([0-9a-z]{8,32})(\/about)?\/?$/.exec(path) ?? [];
  if (run) return { page: about ? "about" : "run", run };
  return { page: path === "/" ? "runs" : (PLAIN.find((name) => path === `/${name}`) ?? "lost"), run: "" };
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

/** A window beside that of the view: "epoch 7", or steps "938-1208" of which either may be left out. @param {string | null} text @returns {View["second"]} */
function other(text) {
  const [, epoch, first = "", end = ""] = /^(?:epoch ([0-9]{1,16})|([0-9]{0,16})-([0-9]{0,16}))$/.exec(text ?? "") ?? [];
  if (epoch !== undefined) return step(epoch) === null ? null : { epoch: step(epoch), from: null, to: null };
  const [from, to] = [step(first), step(end)];
  if ((from === null && to === null) || (from !== null && to !== null && from >= to)) return null;
  return { epoch: null, from, to };
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
