// Is training stable? Rows of ink for the classes that fell furthest, and the changes that noise does not explain.

/** @import {Drawing, Figure, ListedChange, Loop, Movement, Run, Steadiness, View, Windows} from "../types.d.ts" */
import { Chart } from "./chart.js";
import { segments } from "./controls.js";
import { fill, h } from "./element.js";
import { lit } from "./lit.js";
import { ofClass, output, outputName } from "./matrix.js";
import { covered, marks, nearest, windowsOf } from "./windows.js";
import { count, points, share, steps } from "./words.js";

const NARROW = 720; // pixels; below, the raster goes without what each class is now
const ROW = 22; // pixels of a row of the raster, and less where there are many
const CHART = 150; // pixels of a small chart
const AROUND = 120; // pixels above and below the rows: the scale of the ink, the axes
const LEGEND = 40; // and of the legend, where it stands below
const SHOWN = 25; // rows that the service shows unasked
const LISTED = 8; // changes shown before one asks for more
const NAMED = 5; // classes that a sentence names
const EXPLAINED = "/stability.html";

/** @type {[Steadiness, string][]} */
const VIEWS = [["raster", "rows"], ["multiples", "charts"]];
/** @type {Record<ListedChange["kind"], [string, string]>} */
const KINDS = { drop: ["▼", "fell"], recovery: ["▲", "came back"], learning: ["△", "was learnt"] };

/** @param {Loop} loop */
export function stability(loop) {
  const chart = new Chart("Stability", "steady", told);
  const views = segments("Stability as", VIEWS, (value) => loop.go({ steadiness: value }, "replace"));
  const more = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => loop.go({ rows: view.rows === null ? everyClass() : null }, "replace") });
  chart.tools.append(more, views.element);
  const list = h("ol", { class: "changes" });
  const rest = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => tell(true) });
  const learnt = h("details", { class: "learnt" });
  const moves = h("p", { class: "note moves" });
  const changes = h("section", { class: "told" }, h("h3", {}, "Changes that noise does not explain ", explained("changes", "How they are found")), list, rest, learnt, moves);
  const element = h("section", { class: "panel steady-panel" }, chart.element, changes);
  /** @type {Windows | null} */
  let windows = null;
  /** @type {number[]} */
  let rows = [];
  /** @type {ListedChange[]} */
  let listed = [];
  /** @type {View} */
  let view = loop.view();
  /** @type {Run | null} */
  let run = null;

  const everyClass = () => Math.min(output(run, view)?.class_names.length ?? 0, 1000);
  const width = () => chart.plot.clientWidth || element.clientWidth;

  /** @param {Figure} figure */
  function told({ layout: { meta } }) {
    windows = windowsOf(meta);
    rows = meta.rows ?? [];
    listed = meta.changes ?? [];
    const folded = meta.folded ?? 0;
    const high = meta.charts ? meta.charts[1] * CHART + 40 : rows.length * (rows.length > 60 ? 12 : ROW) + AROUND + (width() < NARROW ? LEGEND : 0);
    /** @type {HTMLElement} */ (chart.plot.parentElement).style.height = `${meta.empty ? 120 : high}px`;
    fill(chart.note, meta.empty ? "" : `${meta.summary} `, !meta.empty && explained("certified-drop", "How to read this"));
    more.hidden = meta.empty === true || view.steadiness !== "raster" || (folded === 0 && view.rows === null);
    more.textContent = view.rows === null ? `Show ${count(folded)} quieter` : `Only the ${SHOWN} that fell furthest`;
    tell(false);
    move(meta.movement);
  }

  /** What moves from block to block, and what is seen too seldom to tell. @param {Movement | undefined} of */
  function move(of) {
    moves.hidden = !of;
    if (!of) return;
    const unstable = of.unstable.slice(0, NAMED).map((one) => `${one.name} (by ${points(one.points)})`);
    const also = of.unstable.length > NAMED ? ` and ${count(of.unstable.length - NAMED)} more` : "";
    const thin = of.thin.slice(0, NAMED).join(", ") + (of.thin.length > NAMED ? ` and ${count(of.thin.length - NAMED)} more` : "");
    fill(
      moves,
      unstable.length ? `From block to block, beyond chance, move ${unstable.join(", ")}${also}. ` : "From block to block no class is seen to move beyond chance. ",
      thin && `Too few samples to tell: ${thin}. `,
      explained("excess-instability", "How movement is measured"),
    );
  }

  /** @param {boolean} all whether every change is listed */
  function tell(all) {
    const sudden = listed.filter(({ kind }) => kind !== "learning");
    const slow = listed.filter(({ kind }) => kind === "learning");
    changes.hidden = listed.length === 0 && windows === null;
    fill(list, ...sudden.slice(0, all ? sudden.length : LISTED).map(item), sudden.length === 0 && h("li", { class: "note" }, "None: no class fell, or rose after a fall, by more than chance."));
    rest.hidden = all || sudden.length <= LISTED;
    rest.textContent = `${count(sudden.length - LISTED)} more`;
    learnt.hidden = slow.length === 0;
    const open = learnt.open;
    fill(learnt, h("summary", {}, `When ${slow.length === 1 ? "one class was" : `${count(slow.length)} classes were`} learnt`), h("ol", { class: "changes" }, ...slow.map(item)));
    learnt.open = open;
  }

  /** @param {ListedChange} change */
  function item(change) {
    const [sign, verb] = KINDS[change.kind];
    const rate = (/** @type {number | null} */ value) => (value === null ? "unknown" : share(value));
    const when = change.unseen ? `while it did not occur, ${steps(change.from, change.to)}` : change.to - change.from <= 2 ? `at step ${count(change.at)}` : steps(change.from, change.to);
    const why = [
      change.taken_for !== null && change.kind !== "learning" && (change.direction === "drop" ? `taken for ${change.taken_for}` : `no longer taken for ${change.taken_for}`),
      ...change.mix.map((one) => `${one.name}: ${share(one.before)} of the samples before, ${share(one.after)} after`),
      ...change.near.map((event) => `near: ${event}`),
    ].filter(Boolean);
    const go = () => loop.go({ from: change.window[0], to: change.window[1], epoch: null, focus: [change.index], ...(view.by === "epoch" ? { by: "batch" } : {}) });
    const after = `95 %: ${rate(change.after.low)} to ${rate(change.after.high)}, ${count(change.after.n)} samples`;
    return h(
      "li",
      { class: change.kind, "data-class": change.index },
      h(
        "button",
        { type: "button", class: "bare", title: `Look at ${steps(change.window[0], change.window[1])}`, onclick: go },
        h("i", { "aria-hidden": "true" }, sign),
        h("span", {}, h("b", {}, change.name), ` ${verb} from ${rate(change.before.value)} to `, h("span", { title: after }, rate(change.after.value)), `, ${when}`),
      ),
      h("p", { class: "note" }, why.join("; "), why.length > 0 && ". ", h("a", { href: loop.href({ ...loop.view(), ...ofClass(run, view, change.index) }) }, `All about ${change.name}`)),
    );
  }

  /** @returns {Drawing} */
  function drawing() {
    if (view.steadiness === "multiples") return {};
    return {
      marks: marks(windows, view, run),
      onBrush: (range, done) => {
        const window = range && windows && covered(windows, range);
        if (window) loop.go({ from: window[0], to: window[1], epoch: null }, done ? "push" : "drag");
        else if (done) loop.go({ from: null, to: null, epoch: null });
      },
      onCell: (row, column) => {
        const index = rows[row];
        const from = windows?.from[column];
        const to = windows?.to[column];
        if (index !== undefined && from !== undefined && to !== undefined) loop.go({ from, to, epoch: null, focus: [index] });
      },
      onName: (place) => {
        const index = rows[place];
        if (index !== undefined) loop.go(ofClass(run, view, index));
      },
      onHover: (places) => lit(places ? [rows[places[0]] ?? -1] : []),
      onPick: (x) => {
        if (!windows || x < (windows.from[0] ?? 0)) return;
        const at = nearest(windows, x);
        loop.go({ from: windows.from[at] ?? null, to: windows.to[at] ?? null, epoch: null });
      },
    };
  }

  return {
    element,
    /** @param {View} now @param {Run} of @param {boolean} news */
    show(now, of, news) {
      view = now;
      run = of;
      views.set(now.steadiness);
      const room = width();
      const query = {
        run: of.id,
        split: now.split,
        view: now.steadiness,
        ...(now.steadiness === "raster" ? { rows: now.rows, compact: room < NARROW ? "true" : null } : { columns: Math.max(1, Math.min(4, Math.floor(room / 240))), metric: now.metric }),
        output: outputName(of, now),
        theme: loop.theme(),
      };
      chart.show("stability", query, news, drawing);
    },
    /** @param {string} text */
    tell(text) {
      chart.tell(text);
      changes.hidden = true;
    },
    close: () => chart.close(),
  };
}

/** A link to the page that says how a number is found. @param {string} place @param {string} text */
function explained(place, text) {
  return h("a", { class: "explained", href: `${EXPLAINED}#${place}`, target: "_blank", rel: "noopener" }, text);
}
