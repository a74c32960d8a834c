// The list of runs: how each is doing, its last values, and what can be done with several of them.

/** @import {Column} from "./columns.js" */
/** @import {ListedRun, Loop, Page, RunPage, View} from "../types.d.ts" */
import * as api from "../api.js";
import { bulk } from "./bulk.js";
import { columnChoice, columns, field, footOf, groupOf } from "./columns.js";
import { fill, h, say } from "./element.js";
import { HINT, filtered } from "./filter.js";
import { kept } from "./kept.js";
import { groupRow, rowOf } from "./row.js";
import { isLeaving, onLeaving } from "./undo.js";
import { count, duration, left, when } from "./words.js";

const PAGE = 100;
const MOST_AT_ONCE = 500; // the service answers no longer page
const MOST_PICKED = 500;
const TYPING_MS = 200;
const LONG = 300; // a list of more runs is asked for less often
const LONG_MS = 5000;

/** @param {Loop} loop @returns {Page} */
export function runsPage(loop) {
  let view = loop.view();
  let size = PAGE;
  /** @type {AbortController | null} */
  let asked = null;
  /** @type {string | null} */
  let asking = null;
  let again = false;
  let closed = false;
  let loaded = -Infinity;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let typing;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let later;
  /** As they were last answered. @type {ListedRun[]} */
  let known = [];
  let further = false;
  /** The run picked last: where a range begins. */
  let anchor = "";

  const filter = h("input", {
    type: "search",
    placeholder: "Filter: words, tag:best, is:live, params.lr<0.01",
    title: HINT,
    "aria-label": "Filter runs",
    value: view.q,
    oninput: () => {
      clearTimeout(typing);
      typing = setTimeout(() => loop.go({ q: filter.value.trim() }, "replace"), TYPING_MS);
    },
  });
  const said = h("p", { class: "note", role: "status" });
  const choice = columnChoice((change) => loop.go(change, "replace"));
  const several = bulk(loop, (id) => known.find((run) => run.id === id), () => void load());
  const rows = h("tbody");
  const caption = h("caption", { class: "unseen" });
  const heads = h("tr");
  const table = h("table", { class: "runs" }, caption, h("thead", {}, heads), rows);
  const more = h("button", { type: "button", class: "quiet more", onclick: () => { size += PAGE; void load(); } }, "Show more");
  const trouble = h("div", { class: "trouble", role: "alert" });
  const empty = h("div");
  const keeping = kept();
  const scroll = h("div", { class: "panel scroll", tabindex: "0", role: "region", "aria-label": "Runs" }, table);
  const tools = h("div", { class: "controls" }, filter, choice.element, choice.grouping, said, h("span", { class: "gap" }), several.element);
  const element = h("article", { class: "runs-page" }, h("h1", {}, "Runs"), trouble, tools, keeping.element, scroll, more, empty);
  const forget = onLeaving(() => show());
  scroll.classList.add("skeleton");
  more.hidden = true;

  /** Rows by their run. @type {Map<string, { row: HTMLTableRowElement, drawn: string }>} */
  const drawn = new Map();

  /** The names of the columns; those by which the list can be sorted are buttons. @param {Column[]} shown @param {ListedRun[]} runs */
  function head(shown, runs) {
    const all = [{ name: "state", kind: "state", sort: "" }, { name: "run", kind: "", sort: "name" }, ...shown];
    const held = document.activeElement instanceof HTMLElement && heads.contains(document.activeElement) ? document.activeElement.dataset["by"] : undefined;
    const sort = view.sort || "-created";
    const every = h("input", { type: "checkbox", class: "every", "aria-label": "Pick all runs shown", onchange: () => loop.go({ runs: every.checked ? runs.map(({ id }) => id).slice(0, MOST_PICKED) : [] }, "replace") });
    every.checked = runs.length > 0 && runs.every(({ id }) => view.runs.includes(id));
    every.indeterminate = !every.checked && runs.some(({ id }) => view.runs.includes(id));
    fill(
      heads,
      h("th", { scope: "col", class: "pick" }, every),
      ...all.map(({ name, kind, sort: by, ...one }) => {
        const way = by && sort === by ? "ascending" : by && sort === `-${by}` ? "descending" : null;
        const sign = way && h("span", { "aria-hidden": "true" }, way === "ascending" ? " ▲" : " ▼");
        const title = "title" in one ? one.title : null;
        return h("th", { scope: "col", class: kind, "aria-sort": way, title }, by ? h("button", { type: "button", class: "bare", "data-by": by, onclick: () => loop.go({ sort: next(sort, by) }, "replace") }, name, sign) : name);
      }),
    );
    if (held !== undefined) /** @type {HTMLElement | undefined} */ ([...heads.querySelectorAll("button")].find((one) => one.dataset["by"] === held))?.focus();
    const grouped = view.group ? `, grouped by ${view.group}` : "";
    say(caption, `Runs, ${sort === "-created" ? "newest first" : `sorted by ${sort.replace(/^-/, "")}, ${sort.startsWith("-") ? "descending" : "ascending"}`}${grouped}`);
  }

  async function load() {
    const key = `${view.q} ${view.sort} ${view.group} ${size}`;
    if (asked && asking === key) {
      again = true;
      return;
    }
    asked?.abort();
    const mine = (asked = new AbortController());
    asking = key;
    try {
      /** @type {ListedRun[]} */
      const runs = [];
      /** @type {string | null} */
      let cursor = null;
      do {
        const sort = view.group ? field("params", view.group) : view.sort;
        const query = { ...filtered(view.q), sort, limit: Math.min(size - runs.length, MOST_AT_ONCE), cursor };
        const page = /** @type {RunPage} */ (await api.runs(query, mine.signal));
        runs.push(...page.runs);
        cursor = page.next;
      } while (cursor !== null && runs.length < size && !mine.signal.aborted);
      if (mine.signal.aborted) return;
      trouble.replaceChildren();
      void keeping.refresh();
      known = runs;
      further = cursor !== null;
      loaded = performance.now();
      show();
    } catch (error) {
      if (mine.signal.aborted) return;
      const asking = error instanceof api.ApiError && error.status === 422; // a filter that makes no sense
      fill(trouble, h("p", {}, `${error instanceof Error ? error.message : error}${known.length ? " What you see is from before." : ""}`), !asking && h("button", { type: "button", onclick: () => void load() }, "Try again"));
      if (!asking) setTimeout(() => !closed && void load(), 4000);
    }
    asked = null;
    if (again) {
      again = false;
      void load();
    }
  }

  /** Show what is known, as the view has it. */
  function show() {
    if (loaded === -Infinity) return;
    const runs = known.filter(({ id }) => !isLeaving(id));
    scroll.classList.remove("skeleton");
    more.hidden = !further;
    // By what the list is sorted is seen, however narrow the page is.
    const shown = columns(view, runs).map((one) => (one.sort && one.sort === view.sort.replace(/^-/, "") ? { ...one, kind: `${one.kind} sorted` } : one));
    head(shown, runs);
    const nothing = runs.length === 0;
    scroll.hidden = nothing;
    tools.hidden = nothing && !view.q;
    if (nothing && !view.q && known.length === 0) {
      if (!empty.firstChild) fill(empty, welcome());
    } else {
      fill(empty, nothing && h("p", { class: "nothing" }, view.q ? `No run matches “${view.q}”.` : "All runs here are about to be deleted."));
    }
    const going = runs.filter((run) => run.status === "running").length;
    say(said, `${further ? "the first " : ""}${count(runs.length)} ${runs.length === 1 ? "run" : "runs"}${going ? `, ${count(going)} live` : ""}`);
    const there = new Set(runs.map(({ id }) => id));
    for (const [id, { row }] of drawn) {
      if (there.has(id)) continue;
      row.remove();
      drawn.delete(id);
    }
    const floor = footOf(runs);
    const form = JSON.stringify([shown.map(({ id, kind }) => [id, kind]), loop.theme(), floor]);
    let place = 0;
    const put = (/** @type {HTMLTableRowElement} */ row) => {
      if (rows.children[place] !== row) rows.insertBefore(row, rows.children[place] ?? null);
      place += 1;
    };
    rows.querySelectorAll("tr.group").forEach((row) => row.remove());
    const groups = view.group ? grouped(runs, view) : [{ value: "", runs }];
    groups.forEach((group, number) => {
      if (view.group) put(groupRow(view.group, group.value, group.runs, shown, further && number === groups.length - 1));
      for (const run of group.runs) put(row(run, shown, floor, form));
    });
    pick();
  }

  /** The row of a run, made anew only where something of it is new. @param {ListedRun} run @param {Column[]} shown @param {number} floor @param {string} form */
  function row(run, shown, floor, form) {
    const told = JSON.stringify([form, run.rev, run.status, run.name, run.tags, run.alerts, run.glance, duration(run), left(run), when(run.started_ms)]);
    const before = drawn.get(run.id);
    if (before?.drawn === told) return before.row;
    const held = before?.row.contains(document.activeElement) ? document.activeElement?.className : null;
    const made = rowOf(loop, run, shown, floor, (on, range) => choose(run.id, on, range));
    before?.row.replaceWith(made);
    drawn.set(run.id, { row: made, drawn: told });
    if (held !== null && held !== undefined) /** @type {HTMLElement | null} */ (made.querySelector(`[class="${held}"]`))?.focus();
    return made;
  }

  /** @param {string} id @param {boolean} on @param {boolean} range with all rows since the one picked before */
  function choose(id, on, range) {
    const order = [...rows.querySelectorAll("input.choose")].map((box) => /** @type {HTMLInputElement} */ (box).value);
    const [first, last] = [order.indexOf(anchor), order.indexOf(id)];
    const meant = range && first >= 0 ? order.slice(Math.min(first, last), Math.max(first, last) + 1) : [id];
    anchor = id;
    const others = view.runs.filter((other) => !meant.includes(other));
    loop.go({ runs: on ? [...others, ...meant].slice(-MOST_PICKED) : others }, "replace");
  }

  function pick() {
    for (const box of /** @type {NodeListOf<HTMLInputElement>} */ (rows.querySelectorAll("input.choose"))) {
      box.checked = view.runs.includes(box.value);
      box.closest("tr")?.classList.toggle("picked", box.checked);
    }
    several.set(view);
    choice.set(view);
  }

  /** The row in which the focus is. */
  const here = () => (document.activeElement instanceof Element ? document.activeElement.closest("tr[data-run]") : null);

  /** @param {number} by rows further on */
  function walk(by) {
    const links = /** @type {HTMLElement[]} */ ([...rows.querySelectorAll("a.name")]);
    const at = links.findIndex((link) => link.closest("tr") === here());
    const to = links[at < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(Math.max(at + by, 0), links.length - 1)];
    to?.focus();
    to?.scrollIntoView({ block: "nearest" });
    return to !== undefined;
  }

  /** @param {string} action @returns {boolean} */
  function act(action) {
    if (action === "search") filter.focus();
    else if (action === "next" || action === "previous") return walk(action === "next" ? 1 : -1);
    else if (action === "pick") {
      const box = here()?.querySelector("input.choose");
      if (!(box instanceof HTMLInputElement)) return false;
      box.click();
    } else if (action === "compare" && several.compare.hasAttribute("href")) several.compare.click();
    else return false;
    return true;
  }

  return {
    element,
    /** @param {View} now */
    show(now) {
      const other = now.q !== view.q || now.sort !== view.sort || now.group !== view.group;
      const form = JSON.stringify([now.columns, now.theme]) !== JSON.stringify([view.columns, view.theme]);
      view = now;
      if (document.activeElement !== filter) filter.value = now.q;
      document.title = "Runs · epochscope";
      if (loaded === -Infinity || other) void load();
      if (form || (other && view.group)) show();
      else pick();
    },
    refresh() {
      clearTimeout(later);
      const wait = size > LONG ? loaded + LONG_MS - performance.now() : 0;
      if (wait > 0) later = setTimeout(() => void load(), wait);
      else void load();
    },
    concerns: () => true,
    close() {
      closed = true;
      clearTimeout(typing);
      clearTimeout(later);
      forget();
      asked?.abort();
    },
    act,
  };
}

/** What is looked for from its least value on. */
const RISING = ["name", "worst", "summary.loss"];

/** The order after a press on a column: one way, the other, and back to newest first. @param {string} sort @param {string} by */
function next(sort, by) {
  const [first, second] = RISING.includes(by) ? [by, `-${by}`] : [`-${by}`, by];
  return sort === first ? second : sort === second ? "" : first;
}

/** Runs that come by the value of a param, cut into groups; within one they stand as the view sorts. @param {ListedRun[]} runs @param {View} view */
function grouped(runs, view) {
  /** @type {Map<string, ListedRun[]>} */
  const groups = new Map();
  for (const run of runs) {
    const value = groupOf(run, view.group);
    groups.set(value, [...(groups.get(value) ?? []), run]);
  }
  const sort = view.sort || "-created";
  const way = sort.startsWith("-") ? -1 : 1;
  const by = (/** @type {ListedRun} */ run) => sorted(run, sort.replace(/^-/, ""));
  return [...groups].map(([value, own]) => ({ value, runs: own.toSorted((one, other) => compared(by(one), by(other), way)) }));
}

/** What a run is sorted by. @param {ListedRun} run @param {string} by @returns {unknown} */
function sorted(run, by) {
  if (by === "name") return run.name;
  if (by === "created") return run.started_ms;
  if (by === "worst" || by === "drop") return run.glance && "split" in run.glance ? (run.glance[by]?.value ?? (by === "drop" ? 0 : null)) : null;
  const [, kind, name = ""] = /^(params|summary)\.(.+)$/s.exec(by) ?? [];
  return kind === "params" ? run.params[name] : run.summary[name];
}

/** Numbers before texts, what is unknown last either way, as the service does. @param {unknown} one @param {unknown} other @param {number} way */
function compared(one, other, way) {
  const rank = (/** @type {unknown} */ value) => (typeof value === "number" ? 0 : typeof value === "string" ? 1 : 2);
  if (rank(one) !== rank(other)) return rank(one) - rank(other);
  if (rank(one) === 2) return 0;
  return way * (/** @type {any} */ (one) < /** @type {any} */ (other) ? -1 : one === other ? 0 : 1);
}

/** What stands in place of a list without runs: how to make the first. */
function welcome() {
  const code = `from epochscope.keras import Monitor

monitor = Monitor(
    project="default", class_names=class_names,
    url="${location.origin}",
)
model.fit(x, y, validation_data=(x_val, y_val), epochs=5, callbacks=[monitor])`;
  const copy = h("button", { type: "button" }, "Copy");
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(code);
      copy.textContent = "Copied";
    } catch {
      getSelection()?.selectAllChildren(text); // no access to the clipboard: leave it to the keyboard
      copy.textContent = "Press Ctrl+C";
    }
    setTimeout(() => (copy.textContent = "Copy"), 2000);
  });
  const text = h("code", {}, code);
  return h(
    "section",
    { class: "welcome panel" },
    h("h2", {}, "No runs yet"),
    h("p", {}, "Attach Monitor to the ", h("code", {}, "fit()"), " of a Keras classifier. Its run appears here with the first batch, without a reload."),
    h("div", { class: "snippet" }, h("pre", {}, text), copy),
    h("p", { class: "note" }, "No model at hand? ", h("code", {}, "epochscope demo"), " trains one on Fashion-MNIST."),
  );
}
