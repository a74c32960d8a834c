// The head of a run's page: what it is, how it is doing, what it was started with.

/** @import {ListedRun, Loop, Run} from "../types.d.ts" */
import { amending } from "./amend.js";
import { fill, h, say } from "./element.js";
import { notices } from "./notices.js";
import { count, duration, goesOn, isTraining, measure, moments, state, when } from "./words.js";

/** The state of a run as a shape, a word and a colour. @param {ListedRun} run */
export function statusMark(run) {
  const { word, sign, says } = state(run.status);
  const why = run.reason ? `${says}: ${run.reason}` : says;
  return h("span", { class: `status ${run.status}`, title: why }, h("i", { "aria-hidden": "true" }, sign), word);
}

/** How many alerts were found in a run, if any. @param {ListedRun} run */
export function alertMark({ alerts: { all, on } }) {
  if (!all) return null;
  const title = on ? `${count(on)} of ${count(all)} still on` : "all of them are over";
  return h("span", { class: on ? "alert-mark on" : "alert-mark", title }, h("i", { "aria-hidden": "true" }, "▲"), ` ${count(all)} ${all === 1 ? "alert" : "alerts"}`);
}

/** How far a run is, 0 to 1, or null where no end is planned. @param {ListedRun} run */
export function progress(run) {
  const planned = (run.epochs ?? 0) * (run.batches_per_epoch ?? 0);
  return planned ? Math.min(1, (run.steps.train ?? 0) / planned) : null;
}

/** The one number that says most of how good the model is. @param {Run} run */
function result(run) {
  const key = ["val_macro_f1", "val_accuracy", "val_loss", "loss"].find((one) => one in run.summary);
  return key ? fact(key.replace("_f1", "_F1").replaceAll("_", " "), measure(run.summary[key])) : [];
}

/** @param {Loop} loop @param {() => void} changed called when something of the run was changed here */
export function runHeader(loop, changed) {
  const title = h("h1");
  const project = h("span", { class: "project" });
  const status = h("span");
  const facts = h("dl", { class: "facts" });
  const bar = h("div", { class: "progress", "aria-hidden": "true" }, h("i"));
  const reason = h("p", { class: "reason", role: "status" });
  const capture = h("p", { class: "note" });
  const noticed = notices();
  const about = h("a", { class: "about", title: "Parameters, model, code, machine, delivery (i)" }, "About");
  const amend = amending(loop, changed);
  const element = h(
    "header",
    { class: "run-head" },
    h("div", { class: "names" }, project, title, status, about, amend.element),
    facts,
    reason,
    noticed.element,
    capture,
    bar,
  );
  /** @param {Run} run */
  function set(run) {
    amend.set(run);
    say(title, run.name);
    say(project, run.archived ? `${run.project}, archived` : run.project);
    fill(status, statusMark(run));
    const planned = run.epochs && run.batches_per_epoch ? run.epochs * run.batches_per_epoch : null;
    fill(
      facts,
      ...fact("step", count(run.steps.train ?? 0), planned && `of ${count(planned)}`),
      ...fact("epoch", count(run.epoch), run.epochs && `of ${count(run.epochs)}`),
      ...result(run),
      ...fact("started", when(run.started_ms), null, moments(run.started_ms)),
      ...fact(isTraining(run.status) ? "running for" : run.ended_ms === null ? "heard for" : "took", duration(run)),
    );
    const done = progress(run);
    bar.hidden = done === null || !goesOn(run.status);
    /** @type {HTMLElement} */ (bar.firstElementChild).style.width = `${100 * (done ?? 0)}%`;
    reason.hidden = !run.reason;
    say(reason, run.reason);
    noticed.set(run);
    // The one line matters where something of the model could not be captured, or where there is no matrix at all.
    capture.hidden = !run.capture || (run.outputs.length > 0 && /^(all|everything)\b/i.test(run.capture));
    say(capture, `Captured: ${run.capture}`);
    about.setAttribute("href", loop.href({ ...loop.view(), page: "about" }));
  }
  return { element, set };
}

/** @param {string} name @param {string} value @param {string | number | null} [more] @param {string} [title] */
function fact(name, value, more, title) {
  return [h("div", { title }, h("dt", {}, name), h("dd", {}, value, more && h("small", {}, ` ${more}`)))];
}
