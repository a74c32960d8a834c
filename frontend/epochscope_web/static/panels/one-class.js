// One class by itself: how it is recognised over the run, where its mistakes go and come from, and what happened to it.

/** @import {Confused, ClassStability, Drawing, Figure, Loop, Meta, Run, View, Windows} from "../types.d.ts" */
import * as api from "../api.js";
import { Chart } from "./chart.js";
import { chosen } from "./classes.js";
import { fill, h } from "./element.js";
import { ofClass, output, outputName } from "./matrix.js";
import { covered, marks, nearest, windowsOf } from "./windows.js";
import { count, measure, points, share, steps } from "./words.js";

const LISTED = 8; // confusions of each list

/** @typedef {{ chart: Chart, windows: Windows | null }} Part */

/** @param {Loop} loop */
export function oneClass(loop) {
  const title = h("h2", {});
  const back = h("a", {}, "← The whole run");
  const before = h("a", { class: "step", rel: "prev" });
  const after = h("a", { class: "step", rel: "next" });
  const facts = h("dl", { class: "facts" });
  const trouble = h("p", { class: "note", role: "status" });
  const head = h("header", { class: "class-head panel" }, h("div", { class: "names" }, h("nav", { "aria-label": "Classes" }, back, before, after), title), facts, trouble);
  const rates = part("One class", "large", "95 % bands. Drag to choose a window.");
  const went = part("Where its mistakes go", "medium", "");
  const came = part("Where they come from", "medium", "");
  const lists = h("div", { class: "lists" });
  const happened = h("ol", { class: "changes" });
  const changes = h("section", { class: "panel told" }, h("h3", {}, "What happened to it"), happened);
  const mistakes = [went, came].map(({ chart }) => h("div", { class: "panel" }, chart.element));
  const element = h("div", { class: "one-class" }, head, h("div", { class: "panel rates" }, rates.chart.element), ...mistakes, h("div", { class: "panel both" }, lists), changes);
  /** @type {View} */
  let view = loop.view();
  /** @type {Run | null} */
  let run = null;
  /** @type {AbortController | null} */
  let asked = null;
  let key = "";

  /** @param {string} word @param {string} kind @param {string} says */
  function part(word, kind, says) {
    /** @type {Part} */
    const made = { windows: null, chart: new Chart(word, kind, told) };
    /** @param {Figure} figure */
    function told({ layout: { meta } }) {
      made.windows = windowsOf(meta);
      made.chart.note.textContent = meta.empty ? "" : says || note(meta);
    }
    return made;
  }

  /** @param {Meta} meta */
  const note = (meta) => (meta.total ? `${count(meta.count ?? 0)} of ${count(meta.total)}, ${share((meta.count ?? 0) / meta.total)}, over the whole run.` : "");

  /** @param {Part} of @returns {Drawing} */
  function drawing(of) {
    const found = marks(of.windows, view, run);
    return {
      marks: of === rates ? found : { lines: found.lines.map(({ at }) => ({ at, text: "", short: "" })), window: found.window },
      onBrush: (range, done) => {
        const window = range && of.windows && covered(of.windows, range);
        if (window) loop.go({ from: window[0], to: window[1], epoch: null }, done ? "push" : "drag");
        else if (done) loop.go({ from: null, to: null, epoch: null });
      },
      onPick: (x) => {
        if (!of.windows) return;
        const at = nearest(of.windows, x);
        const epoch = of.windows.epoch?.[at];
        if (epoch !== undefined) loop.go({ epoch, from: null, to: null });
        else loop.go({ from: of.windows.from[at] ?? null, to: of.windows.to[at] ?? null, epoch: null });
      },
    };
  }

  const names = () => output(run, view)?.class_names ?? [];
  /** The class that far away, around the ends. @param {number} far */
  const neighbour = (far) => ((view.class ?? 0) + far + names().length) % Math.max(names().length, 1);
  /** What changes where another class has the page. @param {number} index */
  const other = (index) => ofClass(run, view, index);

  /** Numbers and lists of the chosen window. @param {boolean} news */
  async function number(news) {
    if (!run) return;
    const epoch = view.epoch === null ? null : run.spans.find((span) => span.split === view.split && span.epoch === view.epoch);
    const window = epoch ? { from: epoch.from, to: Math.max(epoch.to, epoch.from + 1) } : { from: view.from, to: view.to };
    const base = { split: view.split, output: outputName(run, view) };
    const now = JSON.stringify([run.id, view.class, window, base, view.label]);
    if (now === key && !news) return;
    key = now;
    asked?.abort();
    asked = new AbortController();
    const { signal } = asked;
    const labels = output(run, view)?.labels === true;
    const one = view.class ?? 0;
    const { id } = run;
    try {
      const none = { confused: /** @type {Confused[]} */ ([]), total: 0, right: 0, different: 0 };
      const [rate, goes, comes, steady] = await Promise.all([
        api.classRates(id, { ...base, ...window, classes: one, points: 1 }, signal),
        labels ? none : api.confused(id, { ...base, ...window, true: String(one), limit: LISTED }, signal),
        labels ? none : api.confused(id, { ...base, ...window, predicted: String(one), limit: LISTED }, signal),
        api.stability(id, base, signal),
      ]);
      fill(trouble);
      const told = steady.classes[one];
      const fact = (/** @type {string} */ name, /** @type {string} */ value, more = "") => h("div", {}, h("dt", {}, name), h("dd", {}, value, more && h("small", {}, ` ${more}`)));
      const band = (/** @type {"recall" | "precision" | "f1"} */ metric) => {
        const [low, high] = [rate[metric].low[0]?.[0] ?? null, rate[metric].high[0]?.[0] ?? null];
        return low === null || high === null ? "" : `${measure(low)}–${measure(high)}`;
      };
      fill(
        facts,
        fact("window", chosen(view)),
        fact("samples", count(rate.support[0]?.[0] ?? 0)),
        ...([["recall", "recall"], ["precision", "precision"], ["f1", "F1"]].map(([metric, word]) => fact(String(word), measure(rate[/** @type {"recall"} */ (metric)].value[0]?.[0] ?? null), band(/** @type {"recall"} */ (metric))))),
        told && fact("learnt at", told.learnt_at === null ? "not yet" : `step ${count(told.learnt_at)}`),
        told && fact("surely fell", told.certified_drop.value > 0 ? `▼ ${points(100 * told.certified_drop.value)}` : "never"),
      );
      fill(lists, listing("Its samples were taken for", goes.confused, "predicted", "of its samples"), listing("Taken for it were", comes.confused, "true", "of that class"));
      if (lists.parentElement) lists.parentElement.hidden = labels;
      tell(told);
    } catch (error) {
      if (signal.aborted) return;
      key = "";
      fill(trouble, error instanceof Error ? error.message : String(error));
    }
  }

  /** @param {string} word @param {Confused[]} confused @param {"true" | "predicted"} side @param {string} of */
  function listing(word, confused, side, of) {
    const all = names();
    const most = Math.max(...confused.map((each) => each.share), 0.0001);
    return h(
      "section",
      { class: "largest" },
      h("h3", {}, `${word}, ${chosen(view)}`),
      h(
        "table",
        {},
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "class"), h("th", { scope: "col", class: "n" }, "n"), h("th", { scope: "col", class: "n" }, of))),
        h(
          "tbody",
          {},
          ...confused.map((each) => {
            const bar = h("i", { class: "ink" });
            bar.style.width = `${(100 * each.share) / most}%`;
            return h(
              "tr",
              { "data-class": each[side] },
              h("td", {}, h("a", { href: loop.href({ ...loop.view(), ...other(each[side]) }) }, all[each[side]] ?? `class ${each[side]}`)),
              h("td", { class: "n" }, count(each.count)),
              h("td", { class: "n share", title: `${count(each.count)} of ${count(each.of)}; 95 %: ${share(each.low)} to ${share(each.high)}` }, bar, h("span", {}, share(each.share))),
            );
          }),
          confused.length === 0 && h("tr", {}, h("td", { colspan: 3 }, "None here.")),
        ),
      ),
    );
  }

  /** @param {ClassStability | undefined} of */
  function tell(of) {
    const signs = { drop: ["▼", "fell"], recovery: ["▲", "came back"], learning: ["△", "was learnt"] };
    fill(
      happened,
      ...(of?.changes ?? []).map((change) => {
        const [sign, verb] = signs[change.kind];
        const rate = (/** @type {number | null} */ value) => (value === null ? "unknown" : share(value));
        const when = change.to - change.from <= 2 ? `at step ${count(change.at)}` : steps(change.from, change.to);
        const why = [change.taken_for !== null && (change.direction === "drop" ? `taken for ${change.taken_for}` : `no longer taken for ${change.taken_for}`), ...change.near.map((event) => `near: ${event.says}`)].filter(Boolean);
        const go = () => loop.go({ from: change.from, to: change.to, epoch: null });
        return h("li", { class: change.kind }, h("button", { type: "button", class: "bare", onclick: go }, h("i", { "aria-hidden": "true" }, sign), h("span", {}, `It ${verb} from ${rate(change.before.value)} to ${rate(change.after.value)}, ${when}`)), why.length > 0 && h("p", { class: "note" }, why.join("; ")));
      }),
      !of?.changes.length && h("li", { class: "note" }, "Its recall did not change by more than chance."),
    );
  }

  return {
    element,
    /** Go on to a class beside it. @param {number} far */
    step: (far) => loop.go(other(neighbour(far))),
    /** @param {View} now @param {Run} of @param {boolean} news */
    show(now, of, news) {
      view = now;
      run = of;
      const all = names();
      const one = now.class ?? 0;
      const name = all[one];
      back.href = loop.href({ ...now, class: null });
      const missing = name === undefined;
      for (const link of [before, after]) link.hidden = all.length < 2 || missing;
      for (const box of element.children) if (box !== head) /** @type {HTMLElement} */ (box).hidden = missing;
      if (missing) {
        fill(title, `There is no class ${one}`);
        fill(facts);
        fill(trouble, all.length ? `This run has ${count(all.length)} classes, 0 to ${count(all.length - 1)}.` : "This run has no classes.");
        key = "";
        return;
      }
      const [left, right] = [neighbour(-1), neighbour(1)];
      before.href = loop.href({ ...now, ...other(left) });
      after.href = loop.href({ ...now, ...other(right) });
      fill(before, h("span", { "aria-hidden": "true" }, "‹ "), h("span", { class: "name" }, all[left]));
      fill(after, h("span", { class: "name" }, all[right]), h("span", { "aria-hidden": "true" }, " ›"));
      before.title = `Class before: ${all[left]} (k)`;
      after.title = `Next class: ${all[right]} (j)`;
      fill(title, name);
      document.title = `${name} · ${of.name} · epochscope`;
      const labels = output(of, now)?.labels === true;
      const query = { run: of.id, class: String(one), split: now.split, by: now.by, width: now.by === "batch" ? now.width : null, output: outputName(of, now), theme: loop.theme() };
      rates.chart.title.textContent = `Recall, precision and F1 of ${name}`;
      went.chart.title.textContent = `What ${name} was taken for`;
      came.chart.title.textContent = `What was taken for ${name}`;
      rates.chart.show("class", query, news, () => drawing(rates));
      for (const [at, { chart }] of [went, came].entries()) {
        /** @type {HTMLElement} */ (mistakes[at]).hidden = labels;
        if (!labels) chart.show("mistakes", { ...query, direction: at === 0 ? "went" : "came" }, news, () => drawing(at === 0 ? went : came));
      }
      void number(news);
    },
    close() {
      asked?.abort();
      for (const { chart } of [rates, went, came]) chart.close();
    },
  };
}
