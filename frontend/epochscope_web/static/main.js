// The loop: read the address, show its page, and ask again when something is new. The only file that knows all.

/** @import {LiveState, Loop, Page, View} from "./types.d.ts" */
import * as address from "./address.js";
import { drawn } from "./draw.js";
import { listen } from "./keys.js";
import { live } from "./live.js";
import { aboutPage } from "./panels/about.js";
import { alertsPage } from "./panels/every-alert.js";
import { comparePage } from "./panels/compare.js";
import { segments } from "./panels/controls.js";
import { fill, h } from "./panels/element.js";
import { help } from "./panels/help.js";
import { runPage } from "./panels/run.js";
import { runsPage } from "./panels/runs.js";
import { settingsPage } from "./panels/settings.js";

const BREATH_MS = { least: 250, most: 1000 }; // news are shown at most so often
const DRAWING = 0.2; // and so seldom that drawing them takes no more than this share of the page's time
const DRAG_MS = 60; // what a drag shows on its way may lag behind so much
const ROUND_MS = 15000; // a run that falls silent sends no news of it

const main = /** @type {HTMLElement} */ (document.getElementById("page"));
const wordmark = document.querySelector(".wordmark");
const ways = /** @type {HTMLElement} */ (document.getElementById("ways"));
const dark = matchMedia("(prefers-color-scheme: dark)");

let view = address.read(new URL(location.href));
/** @type {ReturnType<typeof setTimeout> | undefined} */
let dragged;
/** The address from before a drag: what "back" returns to. @type {string | null} */
let before = null;
/** @type {{ name: string, page: Page } | null} */
let shown = null;

/** @type {Loop} */
const loop = {
  view: () => view,
  go(change, how = "push") {
    const next = { ...view, ...change };
    const now = address.write(view);
    const then = address.write(next);
    const stays = next.page === view.page && next.run === view.run && next.class === view.class;
    view = next;
    clearTimeout(dragged);
    if (how === "drag") {
      before ??= now;
      dragged = setTimeout(() => {
        render();
        history.replaceState(null, "", then);
      }, DRAG_MS);
      return;
    }
    // To write the address takes the browser 10 to 20 ms, in which the answer may be on its way; a new page has a new title.
    if (stays) render();
    if (how === "replace") {
      history.replaceState(null, "", then);
    } else {
      if (before !== null) history.replaceState(null, "", before);
      if (then !== (before ?? now)) history.pushState(null, "", then);
      before = null;
    }
    if (!stays) render();
  },
  theme: () => (view.theme === "system" ? (dark.matches ? "dark" : "light") : view.theme),
  href: (change) => address.write({ ...address.DEFAULT, theme: view.theme, ...change }),
};

function render() {
  document.documentElement.dataset["theme"] = loop.theme();
  themes.set(view.theme);
  wordmark?.setAttribute("href", loop.href({}));
  fill(ways, ...WAYS.map(([page, word]) => h("a", { href: loop.href({ page }), "aria-current": view.page === page ? "page" : null }, word)));
  const name = view.run ? `${view.page} ${view.run}` : view.page;
  if (shown?.name !== name) {
    shown?.page.close();
    const page = PAGES[view.page](loop);
    shown = { name, page };
    fill(main, page.element);
    scrollTo(0, 0);
  }
  shown.page.show(view);
}

/** @type {[View["page"], string][]} */
const WAYS = [["runs", "Runs"], ["alerts", "Alerts"], ["settings", "Settings"]];

/** @type {Record<View["page"], (loop: Loop) => Page>} */
const PAGES = { runs: runsPage, run: runPage, about: aboutPage, compare: comparePage, alerts: alertsPage, settings: settingsPage, lost: lostPage };

/** @returns {Page} */
function lostPage() {
  document.title = "Nothing here · epochscope";
  const element = h("article", {}, h("h1", {}, "Nothing at this address"), h("p", {}, h("a", { href: "/" }, "All runs")));
  return { element, show() {}, refresh() {}, concerns: () => false, close() {} };
}

/** @param {View["theme"]} theme */
const choose = (theme) => loop.go({ theme }, "replace");
const themes = segments("Theme", /** @type {[View["theme"], string][]} */ ([["light", "Light"], ["dark", "Dark"], ["system", "System"]]), choose);
document.getElementById("theme")?.append(themes.element);

const keys = help();
document.getElementById("keys")?.addEventListener("click", () => keys.toggle());
listen((action) => {
  if (action === "help") keys.toggle();
  else if (document.querySelector("dialog[open]")) return false; // it closes itself, and nothing happens behind it
  else if (action.startsWith("go ")) loop.go({ ...address.DEFAULT, theme: view.theme, page: /** @type {View["page"]} */ (action.slice(3)) });
  else return shown?.page.act?.(action) ?? false;
  return true;
});

/** @type {Record<LiveState, [string, string, string]>} */
const STATES = {
  live: ["●", "live", "News arrive as they happen"],
  connecting: ["◌", "connecting", "Asking the service for news"],
  polling: ["◐", "polling", "No stream gets through; the page asks every few seconds"],
  down: ["✕", "disconnected", "No news arrive; the page asks again by itself"],
};
const connection = /** @type {HTMLElement} */ (document.getElementById("connection"));

/** @param {LiveState} state */
function connected(state) {
  const [sign, word, says] = STATES[state];
  connection.className = `connection ${state}`;
  connection.title = says;
  if (connection.dataset["state"] === state) return;
  connection.dataset["state"] = state;
  fill(connection, h("i", { "aria-hidden": "true" }, sign), h("span", {}, word));
}

let fresh = true; // nothing new since the page was last shown
let last = 0;
let breath = BREATH_MS.most;
let drawnBefore = 0;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let soon;

/** Show what is new: at once, but never twice within a breath, and not where nobody looks. */
function refresh() {
  fresh = false;
  if (document.hidden || soon !== undefined) return;
  soon = setTimeout(() => {
    soon = undefined;
    if (document.hidden) return;
    fresh = true;
    last = Date.now();
    breath = Math.min(BREATH_MS.most, Math.max(BREATH_MS.least, (drawn() - drawnBefore) / DRAWING));
    drawnBefore = drawn();
    shown?.page.refresh();
  }, Math.max(0, last + breath - Date.now()));
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && !fresh) refresh();
});
setInterval(refresh, ROUND_MS);
addEventListener("popstate", () => {
  clearTimeout(dragged);
  before = null;
  view = address.read(new URL(location.href));
  render();
});
dark.addEventListener("change", render);
document.addEventListener("click", (event) => {
  const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
  if (!(link instanceof HTMLAnchorElement) || link.target || link.origin !== location.origin || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  if (link.pathname.startsWith("/api/") || link.hash) return;
  event.preventDefault();
  clearTimeout(dragged);
  view = address.read(new URL(link.href));
  history.pushState(null, "", link.href);
  render();
});

connected("connecting");
render();
live((message) => {
  if (message.kind === "state") connected(message.state);
  else if (message.run === "" || shown?.page.concerns(message.run)) refresh();
});
