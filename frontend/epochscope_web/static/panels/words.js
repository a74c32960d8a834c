// Words and numbers as the reader's locale writes them, and what each state of a run is called.

/** @import {ListedRun, Metric, Split, Status} from "../types.d.ts" */

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat(undefined, { minimumFractionDigits: 3, maximumFractionDigits: 3 });
const rough = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 4 });
const percent = new Intl.NumberFormat(undefined, { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
export const fewer = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const signedPoints = new Intl.NumberFormat(undefined, { minimumFractionDigits: 1, maximumFractionDigits: 1, signDisplay: "exceptZero" });
const signedWhole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0, signDisplay: "exceptZero" });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

export const count = (/** @type {number} */ value) => whole.format(value);
export const share = (/** @type {number} */ value) => percent.format(value);
export const change = (/** @type {number} */ value) => signedPoints.format(value);
export const points = (/** @type {number} */ value) => `${fewer.format(value)} points`;
export const changeOfCount = (/** @type {number} */ value) => signedWhole.format(value);

/** A measured value; what is not finite says so, what is missing is a dash. @param {unknown} value */
export function measure(value) {
  if (typeof value === "string") return value === "Infinity" ? "∞" : value === "-Infinity" ? "−∞" : value;
  if (typeof value !== "number") return "–";
  const size = Math.abs(value);
  return size >= 0.001 && size < 100 ? fine.format(value) : rough.format(value);
}

/** A param or setting as it was given. @param {unknown} value */
export function plain(value) {
  if (value === undefined || value === null) return "–";
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(6)));
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

const UNITS = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];

/** @param {number} bytes */
export function size(bytes) {
  const power = Math.min(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), UNITS.length - 1);
  return new Intl.NumberFormat(undefined, { style: "unit", unit: UNITS[power] ?? "byte", unitDisplay: power ? "short" : "long", maximumSignificantDigits: 3 }).format(bytes / 1000 ** power);
}

/** @param {number} ms since 1970 */
export function when(ms) {
  const date = new Date(ms);
  return date.toDateString() === new Date().toDateString() ? clock.format(date) : day.format(date);
}

export const moments = (/** @type {number} */ ms) => moment.format(new Date(ms));

/** @param {number} ms */
export function span(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** How long a run has been going, or went. @param {ListedRun} run */
export function duration(run) {
  const end = run.ended_ms ?? (isTraining(run.status) ? Date.now() : run.heard_ms);
  return span(end - run.started_ms);
}

const MOST_AHEAD_MS = 366 * 86_400_000; // beyond this it is no forecast

/** How long a run that trains has still to go, at the pace so far; "" where nobody can say. @param {ListedRun} run */
export function left(run) {
  const planned = (run.epochs ?? 0) * (run.batches_per_epoch ?? 0);
  const done = run.steps.train ?? 0;
  if (run.status !== "running" || !planned || !done || done >= planned) return "";
  const ahead = ((run.heard_ms - run.started_ms) * (planned - done)) / done;
  return ahead > 0 && ahead < MOST_AHEAD_MS ? `about ${roughly(ahead)} left` : "";
}

/** A stretch of time with no more than it can promise. @param {number} ms */
function roughly(ms) {
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${Math.max(5, Math.ceil(seconds / 5) * 5)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} d`;
}

/** @type {Record<Status, { word: string, sign: string, says: string }>} */
const STATES = {
  running: { word: "live", sign: "●", says: "Training goes on and its numbers arrive" },
  stalled: { word: "stalled", sign: "◐", says: "The training process answers, but no new batch has arrived for a while" },
  silent: { word: "silent", sign: "◌", says: "Nothing heard for longer than announced; training may still go on" },
  lost: { word: "lost", sign: "✕", says: "Nothing heard for a long time; the process was probably ended, or cut off" },
  finished: { word: "finished", sign: "✓", says: "Training came to its end, and all of it is here" },
  failed: { word: "failed", sign: "▲", says: "Training ended with an error" },
  interrupted: { word: "interrupted", sign: "■", says: "Training was interrupted by hand" },
  terminated: { word: "terminated", sign: "■", says: "The process was told to end" },
};

/** @param {Status} status */
export const state = (status) => STATES[status] ?? { word: status, sign: "?", says: "" };

/** Whether a run may still send something. @param {Status} status */
export const goesOn = (status) => status === "running" || status === "stalled" || status === "silent";

/** Whether it is known to be training now. @param {Status} status */
export const isTraining = (status) => status === "running" || status === "stalled";

/** @type {Record<Metric, string>} */
export const METRICS = { f1: "F1", recall: "Recall", precision: "Precision" };
/** @type {Record<Split, string>} */
export const SPLITS = { train: "train", val: "val", test: "test" };

/** Steps `[from, to)` as a reader counts them: the last one included. @param {number} from @param {number} to */
export const steps = (from, to) => (to - from === 1 ? `step ${count(from)}` : `steps ${count(from)}–${count(to - 1)}`);
