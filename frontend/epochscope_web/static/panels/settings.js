// The page of settings: how the page looks, for how long runs are kept, and what the service is.

/** @import {Loop, Page, Project, Service, View} from "../types.d.ts" */
import * as api from "../api.js";
import { asking } from "./asking.js";
import { segments } from "./controls.js";
import { fill, h, say } from "./element.js";
import { count, measure, moments, size, span, when } from "./words.js";

const LONGEST_DAYS = 36_500; // as the service takes it

/** @param {Loop} loop @returns {Page} */
export function settingsPage(loop) {
  const theme = segments("Theme", /** @type {[View["theme"], string][]} */ ([["light", "Light"], ["dark", "Dark"], ["system", "As the system has it"]]), (value) => loop.go({ theme: value }, "replace"));
  const locale = new Intl.DateTimeFormat().resolvedOptions();
  const looks = h(
    "section",
    { class: "panel card" },
    h("h2", {}, "This page"),
    theme.element,
    h(
      "dl",
      {},
      ...pair("numbers and dates", `${locale.locale}, ${locale.timeZone}: ${count(1234567)}, ${measure(0.8765)}, ${moments(Date.now())}`),
      ...pair("kept in this browser", "nothing: no cookie and no storage. What you choose, the theme too, is in the address, so that a link shows what you see"),
      ...pair("from elsewhere", "nothing: all that this page loads comes from the service"),
    ),
  );
  const rows = h("tbody");
  const none = h("p", { class: "note", hidden: true }, "No projects yet.");
  const table = h("table", { class: "plain" }, h("thead", {}, h("tr", {}, ...["project", "runs", "kept for", "due", "deleted so far"].map((name, place) => h("th", { scope: "col", class: place ? "n" : "" }, name)))), rows);
  const trouble = h("p", { class: "trouble-line", role: "alert" });
  const keeping = h("section", { class: "panel card" }, h("h2", {}, "For how long runs are kept"), h("p", { class: "note" }, "Days after a run was last heard of; nothing said keeps it for ever. What goes on, is archived or has a tag is never deleted."), h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "For how long runs are kept" }, table), none, trouble);
  const facts = h("dl");
  const service = h("section", { class: "panel card" }, h("h2", {}, "The service"), facts, h("p", { class: "note" }, h("a", { href: "/api/docs", target: "_blank", rel: "noopener" }, "What it can be asked (API)")));
  for (const part of [keeping, service]) part.classList.add("skeleton");
  const question = asking(async (signal) => ({ service: await api.service(signal), projects: (await api.projects(signal)).projects }), told);
  const element = h("article", { class: "settings-page" }, h("h1", {}, "Settings"), question.trouble, h("div", { class: "about-grid" }, looks, service, keeping));
  let shown = false;

  /** @param {{ service: Service, projects: Project[] }} answer */
  function told(answer) {
    shown = true;
    for (const part of [keeping, service]) part.classList.remove("skeleton");
    const { version, python, store, schema, bytes, runs, started_ms } = answer.service;
    fill(
      facts,
      ...pair("epochscope", version),
      ...pair("Python", python),
      ...pair("store", `${store}, schema ${schema}`),
      ...pair("size", bytes === null ? "not known" : size(bytes)),
      ...pair("runs", count(runs)),
      ...pair("running for", `${span(Date.now() - started_ms)}, since ${when(started_ms)}`),
      ...pair("who may look", "everybody who can reach the service: this version has no login"),
    );
    if (!rows.contains(document.activeElement)) fill(rows, ...answer.projects.map(projectRow)); // nothing changes under the reader's hand
    table.hidden = answer.projects.length === 0;
    none.hidden = answer.projects.length > 0;
  }

  /** @param {Project} project */
  function projectRow({ name, runs, keep_days, due, removed, removed_ms }) {
    const days = h("input", { type: "number", min: 1, max: LONGEST_DAYS, step: 1, inputmode: "numeric", placeholder: "ever", value: keep_days, "aria-label": `Days for which runs of ${name} are kept` });
    const save = h("button", { type: "submit", hidden: true }, "Set");
    days.addEventListener("input", () => (save.hidden = days.value === String(keep_days ?? "")));
    const form = h("form", { class: "row", onsubmit: (event) => { event.preventDefault(); void keep(name, days.value === "" ? null : Number(days.value)); } }, days, h("span", { class: "unit" }, "days"), save);
    const gone = removed && removed_ms !== null ? `${count(removed)}, the last ${when(removed_ms)}` : "none";
    return h("tr", {}, h("th", { scope: "row" }, name), h("td", { class: "n" }, count(runs)), h("td", { class: "n" }, form), h("td", { class: "n" }, due ? count(due) : "none"), h("td", { class: "n" }, gone));
  }

  /** @param {string} project @param {number | null} days */
  async function keep(project, days) {
    try {
      await api.keep(project, days);
      say(trouble, "");
      if (document.activeElement instanceof HTMLElement) document.activeElement.blur();
      await question.load();
    } catch (error) {
      say(trouble, error instanceof Error ? error.message : String(error));
    }
  }

  return {
    element,
    /** @param {View} now */
    show(now) {
      theme.set(now.theme);
      document.title = "Settings · epochscope";
      if (!shown) void question.load();
    },
    refresh: () => void question.load(),
    concerns: () => false,
    close: () => question.close(),
  };
}

/** @param {string} name @param {string} value */
const pair = (name, value) => [h("div", {}, h("dt", {}, name), h("dd", {}, value))];
