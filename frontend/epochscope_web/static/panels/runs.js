// The list of runs: how each is doing, its last values, and which to compare.

/** @import {ListedRun, Loop, Page, View} from "../types.d.ts" */
import * as api from "../api.js";
import { fill, h, say } from "./element.js";
import { HINT, filtered, withTag } from "./filter.js";
import { alertMark, progress, statusMark } from "./header.js";
import { kept } from "./kept.js";
import { count, duration, measure, moments, when } from "./words.js";

const PAGE = 100;
const MOST_AT_ONCE = 500; // the service answers no longer page
const TYPING_MS = 200;
/** Columns of last values: their name, and the keys that may hold them, best first. @type {[string, string[]][]} */
const VALUES = [
  ["loss", ["loss"]],
  ["accuracy", ["accuracy", "sparse_categorical_accuracy", "categorical_accuracy", "binary_accuracy"]],
  ["val accuracy", ["val_accuracy", "val_sparse_categorical_accuracy", "val_categorical_accuracy", "val_binary_accuracy"]],
  ["val macro F1", ["val_macro_f1"]],
];

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
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let typing;

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
  const compare = h("a", { class: "button", "aria-disabled": "true" }, "Compare");
  const clear = h("button", { type: "button", class: "quiet", onclick: () => loop.go({ runs: [] }, "replace") }, "Clear");
  const rows = h("tbody");
  const caption = h("caption", { class: "unseen" });
  const heads = h("tr");
  const table = h("table", { class: "runs" }, caption, h("thead", {}, heads), rows);
  const more = h("button", { type: "button", class: "quiet more", onclick: () => { size += PAGE; void load(); } }, "Show more");
  const trouble = h("div", { class: "trouble", role: "alert" });
  const empty = h("div");
  const keeping = kept();
  const scroll = h("div", { class: "panel scroll" }, table);
  const tools = h("div", { class: "controls" }, filter, said, h("span", { class: "gap" }), clear, compare);
  const element = h("article", { class: "runs-page" }, h("h1", {}, "Runs"), trouble, tools, keeping.element, scroll, more, empty);
  scroll.classList.add("skeleton");
  more.hidden = true;

  /** @type {Map<string, { row: HTMLTableRowElement, drawn: string }>} */
  const drawn = new Map();

  /** The names of the columns; those by which the list can be sorted are buttons. @param {ListedRun[]} runs */
  function head(runs) {
    /** @type {[string, string, string][]} name, CSS class, what to sort by */
    const columns = [
      ["state", "", ""],
      ["run", "", "name"],
      ["step", "n", ""],
      ["epoch", "n", ""],
      ...VALUES.map(([name, keys]) => /** @type {[string, string, string]} */ ([name, "n", `summary.${keys.find((key) => runs.some((run) => key in run.summary)) ?? keys[0]}`])),
      ["started", "n", "created"],
      ["time", "n", ""],
    ];
    const held = document.activeElement instanceof HTMLElement && heads.contains(document.activeElement) ? document.activeElement.dataset["by"] : undefined;
    const sort = view.sort || "-created";
    fill(
      heads,
      h("th", { scope: "col", class: "pick" }, h("span", { class: "unseen" }, "pick to compare")),
      ...columns.map(([name, kind, by]) => {
        const way = by && sort === by ? "ascending" : by && sort === `-${by}` ? "descending" : null;
        const sign = way && h("span", { "aria-hidden": "true" }, way === "ascending" ? " ▲" : " ▼");
        return h("th", { scope: "col", class: kind, "aria-sort": way }, by ? h("button", { type: "button", class: "bare", "data-by": by, onclick: () => loop.go({ sort: next(sort, by) }, "replace") }, name, sign) : name);
      }),
    );
    if (held !== undefined) /** @type {HTMLElement | null} */ (heads.querySelector(`[data-by="${held}"]`))?.focus();
    say(caption, `Runs, ${sort === "-created" ? "newest first" : `sorted by ${sort.replace(/^-/, "")}, ${sort.startsWith("-") ? "descending" : "ascending"}`}`);
  }

  async function load() {
    const key = `${view.q} ${view.sort} ${size}`;
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
        const query = { ...filtered(view.q), sort: view.sort, limit: Math.min(size - runs.length, MOST_AT_ONCE), cursor };
        const page = /** @type {import("../types.d.ts").RunPage} */ (await api.runs(query, mine.signal));
        runs.push(...page.runs);
        cursor = page.next;
      } while (cursor !== null && runs.length < size && !mine.signal.aborted);
      if (mine.signal.aborted) return;
      trouble.replaceChildren();
      void keeping.refresh();
      show(runs);
      more.hidden = cursor === null;
    } catch (error) {
      if (mine.signal.aborted) return;
      const asking = error instanceof api.ApiError && error.status === 422; // a filter that makes no sense
      fill(trouble, h("p", {}, error instanceof Error ? error.message : String(error)), !asking && h("button", { type: "button", onclick: () => void load() }, "Try again"));
      if (!asking) setTimeout(() => !closed && void load(), 4000);
    }
    asked = null;
    if (again) {
      again = false;
      void load();
    }
  }

  /** @param {ListedRun[]} runs */
  function show(runs) {
    scroll.classList.remove("skeleton");
    head(runs);
    const nothing = runs.length === 0;
    scroll.hidden = nothing;
    tools.hidden = nothing && !view.q;
    if (nothing && !view.q) {
      if (!empty.firstChild) fill(empty, welcome());
    } else {
      fill(empty, nothing && h("p", { class: "nothing" }, `No run matches “${view.q}”.`));
    }
    const going = runs.filter((run) => run.status === "running").length;
    say(said, `${count(runs.length)} ${runs.length === 1 ? "run" : "runs"}${going ? `, ${count(going)} live` : ""}`);
    const there = new Set(runs.map(({ id }) => id));
    for (const [id, { row }] of drawn) {
      if (there.has(id)) continue;
      row.remove();
      drawn.delete(id);
    }
    runs.forEach((run, place) => {
      const told = JSON.stringify([run.rev, run.status, run.name, run.tags, duration(run), view.theme]);
      let known = drawn.get(run.id);
      if (!known || known.drawn !== told) {
        const held = known?.row.contains(document.activeElement) ? document.activeElement?.className : null;
        const row = rowOf(run);
        known?.row.replaceWith(row);
        known = { row, drawn: told };
        drawn.set(run.id, known);
        if (held !== null && held !== undefined) /** @type {HTMLElement | null} */ (row.querySelector(`[class="${held}"]`))?.focus();
      }
      if (rows.children[place] !== known.row) rows.insertBefore(known.row, rows.children[place] ?? null);
    });
    pick();
  }

  /** @param {ListedRun} run */
  function rowOf(run) {
    const done = progress(run);
    const bar = h("i");
    bar.style.width = `${100 * (done ?? 0)}%`;
    const box = h("input", {
      type: "checkbox",
      class: "choose",
      value: run.id,
      "aria-label": `Compare ${run.name}`,
      onchange: () => {
        const others = view.runs.filter((id) => id !== run.id);
        loop.go({ runs: box.checked ? [...others, run.id].slice(-8) : others }, "replace");
      },
    });
    return h(
      "tr",
      {},
      h("td", { class: "pick" }, box),
      h("td", {}, statusMark(run)),
      h("th", { scope: "row" }, h("a", { class: "name", href: loop.href({ ...fresh, page: "run", run: run.id }) }, run.name), h("span", { class: "project" }, run.project), ...run.tags.map((tag) => h("button", { type: "button", class: "bare tag", title: "Only runs with this tag", onclick: () => loop.go({ q: withTag(view.q, tag) }) }, tag)), alertMark(run)),
      h("td", { class: "n" }, count(run.steps.train ?? 0), done !== null && done < 1 && h("span", { class: "meter", "aria-hidden": "true" }, bar)),
      h("td", { class: "n" }, count(run.epoch), run.epochs ? h("small", {}, ` / ${count(run.epochs)}`) : null),
      ...VALUES.map(([, keys]) => h("td", { class: "n" }, measure(keys.map((key) => run.summary[key]).find((value) => value !== undefined && value !== null)))),
      h("td", { class: "n", title: moments(run.started_ms) }, when(run.started_ms)),
      h("td", { class: "n" }, duration(run)),
    );
  }

  function pick() {
    for (const box of /** @type {NodeListOf<HTMLInputElement>} */ (rows.querySelectorAll("input.choose"))) {
      box.checked = view.runs.includes(box.value);
      box.closest("tr")?.classList.toggle("picked", box.checked);
    }
    const enough = view.runs.length >= 2;
    if (enough) compare.setAttribute("href", loop.href({ ...fresh, page: "compare", runs: view.runs }));
    else compare.removeAttribute("href");
    compare.setAttribute("aria-disabled", String(!enough));
    compare.textContent = enough ? `Compare ${view.runs.length} runs` : "Compare";
    compare.title = enough ? "" : "Pick two runs or more";
    clear.hidden = view.runs.length === 0;
  }

  return {
    element,
    /** @param {View} now */
    show(now) {
      const other = now.q !== view.q || now.sort !== view.sort;
      view = now;
      if (document.activeElement !== filter) filter.value = now.q;
      document.title = "Runs · epochscope";
      if (drawn.size === 0 || other) void load();
      else pick();
    },
    refresh: () => void load(),
    concerns: () => true,
    close() {
      closed = true;
      clearTimeout(typing);
      asked?.abort();
    },
  };
}

/** What a link into another page does not take along from the list. */
const fresh = Object.freeze({ q: "", sort: "", runs: /** @type {string[]} */ ([]) });

/** The order after a press on a column: one way, the other, and back to newest first. @param {string} sort @param {string} by */
function next(sort, by) {
  const [first, second] = by === "name" || by === "summary.loss" ? [by, `-${by}`] : [`-${by}`, by];
  return sort === first ? second : sort === second ? "" : first;
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
