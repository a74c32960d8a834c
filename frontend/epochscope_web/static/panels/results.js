// Params and results of all runs that are compared: parallel coordinates, the ranges that are chosen on them, the table.

/** @import {Drawing, Figure, Loop, Many, Run, View} from "../types.d.ts" */
import { Chart } from "./chart.js";
import { list, popover } from "./controls.js";
import { fill, h } from "./element.js";
import { colours } from "./groups.js";
import { measure } from "./words.js";

const MOST_AXES = 12;
const AXIS = 105; // pixels at least, so that names stand apart
const LESS_IS_BETTER = /loss|error|mse|mae|perplexity/i;

/** @param {Loop} loop */
export function results(loop) {
  const chart = new Chart("Params and results", "parallel", told);
  const find = h("input", { type: "search", placeholder: "Find a param or result", "aria-label": "Find a param or result", oninput: () => offer() });
  const options = h("div", { class: "options" });
  const usual = h("button", { type: "button", class: "quiet", onclick: () => loop.go({ axes: null }) }, "Back to the usual");
  const { element: sheet } = popover("Axes", find, options, usual);
  const colour = list("Coloured by", (value) => loop.go({ colour: value }));
  const baseline = list("Baseline", (value) => loop.go({ baseline: value }));
  chart.tools.prepend(sheet, colour.element, baseline.element);
  const chips = h("ul", { class: "chips", "aria-label": "Ranges that runs must pass" });
  const along = h("select", { "aria-label": "Axis of the range" });
  const low = h("input", { type: "number", step: "any", "aria-label": "Range begins at", placeholder: "from" });
  const high = h("input", { type: "number", step: "any", "aria-label": "Range ends at", placeholder: "to" });
  const word = h("select", { "aria-label": "Range is", hidden: true });
  const { element: range, close: shut } = popover("Add a range", h("form", { onsubmit: added }, along, low, high, word, h("button", { type: "submit" }, "Add")));
  along.addEventListener("change", ends);
  const head = h("tr");
  const rows = h("tbody");
  const caption = h("caption", { class: "unseen" }, "Params and results of the runs compared");
  const table = h("table", { class: "results" }, caption, h("thead", {}, head), rows);
  const element = h("section", { class: "panel results-panel" }, chart.element, h("div", { class: "ranges" }, chips, range), h("div", { class: "scroll" }, table));
  /** @type {View} */
  let view = loop.view();
  /** @type {Run[]} */
  let runs = [];
  /** @type {Many["axes"]} */
  let axes = [];
  /** The baseline that the table was made for: another one changes the table alone. */
  let drawnFor = "";
  /** The axes that ranges can be added of. */
  let offered = "";

  /** @param {Figure} figure */
  function told({ layout: { meta } }) {
    axes = meta.axes ?? [];
    const listed = meta.table ?? [];
    chart.plot.style.minWidth = `${axes.length * AXIS}px`; // on a phone it is scrolled
    chart.note.textContent = meta.empty ? "" : meta.summary;
    baseline.set(view.baseline, [["", "none"], ...listed.map(({ id, name }) => /** @type {[string, string]} */ ([id, name]))]);
    colour.set(meta.colour ?? "", fields().filter((name) => name.startsWith("summary.")).map((name) => [name, bare(name)]));
    const base = listed.find(({ id }) => id === view.baseline);
    fill(head, h("th", { scope: "col" }, "run"), ...axes.map(({ says, kind }) => h("th", { scope: "col", class: kind === "category" ? "" : "n" }, says)));
    fill(rows, ...listed.map((one) => row(one, base)));
    table.hidden = meta.empty === true;
    range.hidden = meta.empty === true;
    const now = JSON.stringify(axes);
    if (now !== offered) {
      // Else what somebody is choosing now stays as it is.
      offered = now;
      fill(along, ...axes.map(({ name, says }) => h("option", { value: name }, says)));
      ends();
    }
    fill(chips, ...view.brush.map(chip));
  }

  /** @param {Many["table"][number]} one @param {Many["table"][number] | undefined} base */
  function row(one, base) {
    const place = view.runs.indexOf(one.id);
    const front = runs.length > 1 && place >= 0 && place < runs.length;
    return h(
      "tr",
      { class: one.kept ? "" : "left" },
      h("th", { scope: "row" }, front && h("i", { class: `line run-${colours(runs, view)[place]}`, "aria-hidden": "true" }), h("a", { href: loop.href({ page: "run", run: one.id }) }, one.name), one.id === base?.id && h("span", { class: "note" }, " baseline"), !one.kept && h("span", { class: "unseen" }, " outside the ranges")),
      ...axes.map((axis, at) => h("td", { class: axis.kind === "category" ? "" : "n" }, shown(axis.name, one, at), base && base !== one && axis.name.startsWith("summary.") && apart(axis.name, one.numbers[at], base.numbers[at]))),
    );
  }

  /** @param {string} name @param {Many["table"][number]} one @param {number} at */
  function shown(name, one, at) {
    const number = one.numbers[at];
    return name.startsWith("summary.") && typeof number === "number" ? measure(number) : (one.words[at] ?? "");
  }

  /** How a result differs from that of the baseline, with a sign beside the colour. @param {string} name @param {number | null | undefined} value @param {number | null | undefined} base */
  function apart(name, value, base) {
    if (typeof value !== "number" || typeof base !== "number") return null;
    const difference = value - base;
    const better = LESS_IS_BETTER.test(name) ? difference < 0 : difference > 0;
    const sign = difference === 0 ? "" : better ? "◆ " : "▲ ";
    return h("small", { class: difference === 0 ? "apart" : better ? "apart better" : "apart worse" }, h("i", { "aria-hidden": "true" }, sign), `${difference < 0 ? "−" : "+"}${measure(Math.abs(difference))}`, h("span", { class: "unseen" }, difference === 0 ? "" : better ? " better" : " worse"));
  }

  /** @param {string} said "name:low:high" */
  function chip(said) {
    const [, name = "", from = "", to = ""] = /^(.*):([^:]*):([^:]*)$/.exec(said) ?? [];
    const axis = axes.find((one) => one.name === name);
    const words = axis?.kind === "category" ? axis.categories.filter((_, at) => at >= Number(from) && at <= Number(to)).join(", ") : `${measure(Number(from))} to ${measure(Number(to))}`;
    return h("li", {}, h("span", { class: "name" }, bare(name)), h("b", {}, words || "none"), h("button", { type: "button", class: "bare", "aria-label": `Take away the range of ${bare(name)}`, onclick: () => loop.go({ brush: view.brush.filter((one) => one !== said) }) }, "×"));
  }

  /** What a range of the chosen axis is made of: numbers, or a word. */
  function ends() {
    const axis = axes.find(({ name }) => name === along.value);
    const words = axis?.kind === "category";
    word.hidden = !words;
    low.hidden = high.hidden = words;
    fill(word, ...(axis?.categories ?? []).map((one, at) => h("option", { value: at }, one)));
  }

  /** @param {SubmitEvent} event */
  function added(event) {
    event.preventDefault();
    const axis = axes.find(({ name }) => name === along.value);
    if (!axis) return;
    const [from, to] = axis.kind === "category" ? [word.value, word.value] : [low.value || String(axis.low), high.value || String(axis.high)];
    shut();
    put([`${axis.name}:${from}:${to}`], [axis.name]);
  }

  /** New ranges instead of those of the same axes. @param {string[]} ranges @param {string[]} names */
  function put(ranges, names) {
    loop.go({ brush: [...view.brush.filter((said) => !names.includes(said.replace(/:[^:]*:[^:]*$/, ""))), ...ranges] });
  }

  /** @returns {Drawing} */
  function drawing() {
    return {
      onBrush: (across, done, upright) => {
        if (!done) return;
        if (!across || !upright) {
          if (view.brush.length) loop.go({ brush: [] });
          return;
        }
        const inside = axes.filter((_, at) => at >= across[0] && at <= across[1]);
        const nearest = axes[Math.max(0, Math.min(axes.length - 1, Math.round((across[0] + across[1]) / 2)))];
        const meant = inside.length ? inside : nearest ? [nearest] : [];
        put(meant.map((axis) => `${axis.name}:${upright.map((y) => rounded(valueAt(axis, y))).join(":")}`), meant.map(({ name }) => name));
      },
    };
  }

  /** All params and results that a run may have an axis of. */
  const fields = () => [...new Set([...runs.flatMap((run) => Object.keys(run.params).map((name) => `params.${name}`)), ...runs.flatMap((run) => Object.keys(run.summary).map((name) => `summary.${name}`))])].sort();

  /** @param {string} name @param {boolean} on */
  function choose(name, on) {
    const now = axes.map((axis) => axis.name).filter((one) => one !== name);
    const next = on ? [...now, name].slice(-MOST_AXES) : now;
    // Params stand left of results, as what is made does of what comes of it.
    loop.go({ axes: next.length ? [...next.filter((one) => one.startsWith("params.")), ...next.filter((one) => !one.startsWith("params."))] : null, brush: view.brush.filter((said) => next.some((one) => said.startsWith(`${one}:`))) });
  }

  function offer() {
    const wanted = find.value.trim().toLocaleLowerCase();
    const there = fields().filter((name) => name.toLocaleLowerCase().includes(wanted));
    fill(
      options,
      ...there.slice(0, 300).map((name) => h("label", {}, h("input", { type: "checkbox", value: name, checked: axes.some((axis) => axis.name === name), onchange: (event) => choose(name, event.target.checked) }), h("span", {}, bare(name), h("small", {}, name.startsWith("params.") ? " param" : " result")))),
      there.length === 0 && h("p", { class: "note" }, "None of this name."),
    );
  }
  sheet.addEventListener("toggle", () => sheet.open && offer());

  return {
    element,
    /** @param {View} now @param {Run[]} front those drawn over each other @param {boolean} news */
    show(now, front, news) {
      view = now;
      runs = front;
      element.hidden = now.runs.length < 2;
      usual.hidden = now.axes === null;
      if (element.hidden) return;
      const coloured = `${now.baseline} ${now.seeds}`;
      const query = { runs: now.runs.join(","), axis: now.axes, colour: now.colour, brush: now.brush, theme: loop.theme() };
      chart.show("parallel", query, news || drawnFor !== coloured, drawing);
      drawnFor = coloured;
    },
    close: () => chart.close(),
  };
}

/** @param {Many["axes"][number]} axis @param {number} y from 0 to 1 */
function valueAt(axis, y) {
  const at = Math.max(0, Math.min(1, y));
  return axis.kind === "log" ? axis.low * (axis.high / axis.low) ** at : axis.low + at * (axis.high - axis.low);
}

/** @param {number} value */
const rounded = (value) => String(Number(value.toPrecision(6)));

/** A param or result without the word for which it is. @param {string} name */
const bare = (name) => name.replace(/^(params|summary)\./, "");
