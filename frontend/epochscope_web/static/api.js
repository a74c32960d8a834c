// The service's answers. The only file that fetches.

/** @import {AlertList, AlertPage, ClassRates, ConfusedList, Counts, Fields, Figure, FigureName, Projects, Query, Rule, Rules, Run, RunPage, Service, Stable} from "./types.d.ts" */

/** An answer that is none: what to tell the reader, and whether asking again may help. */
export class ApiError extends Error {
  /** @param {string} message @param {number} status 0 where the service did not answer @param {string} code */
  constructor(message, status, code) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** @param {Query} query @param {AbortSignal} [signal] @returns {Promise<RunPage>} */
export const runs = (query, signal) => ask("/runs", query, signal);

/** @param {string} id @param {AbortSignal} [signal] @returns {Promise<Run>} */
export const run = (id, signal) => ask(`/runs/${encodeURIComponent(id)}`, {}, signal);

/** @param {string} id @param {AbortSignal} [signal] @returns {Promise<AlertList>} */
export const alerts = (id, signal) => ask(`/runs/${encodeURIComponent(id)}/alerts`, {}, signal);

/** The alerts of all runs, the latest first. @param {Query} query @param {AbortSignal} [signal] @returns {Promise<AlertPage>} */
export const everyAlert = (query, signal) => ask("/alerts", query, signal);

/** What is looked for in runs of a project. @param {string} project @param {AbortSignal} [signal] @returns {Promise<Rules>} */
export const rules = (project, signal) => ask("/alerts/rules", { project }, signal);

/** Set the rules of a project; null: those that hold unasked. @param {string} project @param {Rule[] | null} rules @returns {Promise<Rules>} */
export const setRules = (project, rules) => ask("/alerts/rules", { project }, undefined, rules ? { method: "PUT", body: JSON.stringify({ rules }) } : { method: "DELETE" });

/** @param {AbortSignal} [signal] @returns {Promise<Projects>} */
export const projects = (signal) => ask("/projects", {}, signal);

/** @param {string} project @param {number | null} days null: for ever @returns {Promise<unknown>} */
export const keep = (project, days) => ask("/projects/retention", { project }, undefined, { method: "PUT", body: JSON.stringify({ keep_days: days }) });

/** The names of params and summary values. @param {AbortSignal} [signal] @returns {Promise<Fields>} */
export const fields = (signal) => ask("/runs/fields", {}, signal);

/** @param {AbortSignal} [signal] @returns {Promise<Service>} */
export const service = (signal) => ask("/service", {}, signal);

/** @param {string} id @param {Query} query @param {AbortSignal} [signal] @returns {Promise<Counts>} */
export const confusion = (id, query, signal) => ask(`/runs/${encodeURIComponent(id)}/confusion`, query, signal);

/** @param {string} id @param {Query} query @param {AbortSignal} [signal] @returns {Promise<ClassRates>} */
export const classRates = (id, query, signal) => ask(`/runs/${encodeURIComponent(id)}/classes`, query, signal);

/** @param {string} id @param {Query} query @param {AbortSignal} [signal] @returns {Promise<Stable>} */
export const stability = (id, query, signal) => ask(`/runs/${encodeURIComponent(id)}/stability`, query, signal);

/** The largest confusions, searched. @param {string} id @param {Query} query @param {AbortSignal} [signal] @returns {Promise<ConfusedList>} */
export const confused = (id, query, signal) => ask(`/runs/${encodeURIComponent(id)}/confused`, query, signal);

/** @param {FigureName} name @param {Query} query @param {AbortSignal} [signal] @returns {Promise<Figure>} */
export const figure = (name, query, signal) => ask(`/figures/${name}`, query, signal);

/**
 * Where an answer is found.
 * @param {string} path
 * @param {Query} query what is null, undefined or "" is left out; each of a list is named
 */
export function address(path, query) {
  const said = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "") said.append(name, String(one));
    }
  }
  const tail = said.toString();
  return `/api/v1${path}${tail ? `?${tail}` : ""}`;
}

/** Change what is given of a run. @param {string} id @param {Partial<Pick<Run, "name" | "tags" | "notes" | "archived">>} changes @returns {Promise<Run>} */
export const amend = (id, changes) => ask(`/runs/${encodeURIComponent(id)}`, {}, undefined, { method: "PATCH", body: JSON.stringify(changes) });

/** Delete a run for good. @param {string} id @returns {Promise<unknown>} */
export const remove = (id) => ask(`/runs/${encodeURIComponent(id)}`, {}, undefined, { method: "DELETE" });

/** @param {string} path @param {Query} query @param {AbortSignal} [signal] @param {{ method: string, body?: string }} [change] */
async function ask(path, query, signal, change) {
  let answer;
  try {
    const headers = { accept: "application/json", ...(change?.body ? { "content-type": "application/json" } : {}) };
    answer = await fetch(address(path, query), { signal: signal ?? null, headers, ...change });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError("The service does not answer. It may have been stopped; this page goes on by itself when it is back.", 0, "no_answer");
  }
  const content = await answer.json().catch(() => null);
  if (!answer.ok) {
    const told = content?.error;
    throw new ApiError(told?.message ?? `The service answered ${answer.status}.`, answer.status, told?.code ?? "");
  }
  return content;
}
