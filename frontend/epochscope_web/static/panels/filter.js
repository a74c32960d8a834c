// What stands in the filter box of the list, as the service is asked for it: words, conditions, tags, states, projects.

/** @import {Query, Status} from "../types.d.ts" */

/** The words of the page for states, beside the service's own. @type {Record<string, Status>} */
const STATES = { live: "running" };
const CONDITION = /^"?(?:params|summary)\..*?(?:[<>]=?|!?=)/;

export const HINT = `Words of the name, project, notes or id, and with them
  params.lr<0.01   summary.val_macro_f1>=0.9   params.optimizer=adam
  tag:best   project:digits   is:live   is:failed   is:archived
What has spaces in it stands in double quotes: tag:"first try"`;

/**
 * The query for a filter; all its parts must be met.
 * @param {string} text
 * @returns {Query}
 */
export function filtered(text) {
  /** @type {string[]} */
  const words = [];
  /** @type {string[]} */
  const where = [];
  /** @type {string[]} */
  const tag = [];
  /** @type {string[]} */
  const status = [];
  let project = "";
  let archived = "";
  for (const word of text.match(/(?:"[^"]*"|[^\s"])+|"/g) ?? []) {
    const [, kind = "", value = ""] = /^(tag|project|is):(.+)$/.exec(word) ?? [];
    if (kind === "tag") tag.push(bare(value));
    else if (kind === "project") project = bare(value);
    else if (kind === "is" && value === "archived") archived = "true";
    else if (kind === "is") status.push(STATES[value] ?? value);
    else if (CONDITION.test(word)) where.push(word);
    else words.push(bare(word));
  }
  return { q: words.join(" "), where, tag, status: status.join(","), project, archived };
}

/** A filter with `tag:name` in it, once. @param {string} text @param {string} name */
export function withTag(text, name) {
  const word = /\s/.test(name) ? `tag:"${name}"` : `tag:${name}`;
  return text.split(" ").includes(word) ? text : `${text} ${word}`.trim();
}

/** @param {string} word */
const bare = (word) => (/^".*"$/.test(word) ? word.slice(1, -1) : word);
