// A page on its way.

/** @import {Loop, Page} from "../types.d.ts" */
import { h } from "./element.js";

/** @param {Loop} _loop @returns {Page} */
export function alertsPage(_loop) {
  return { element: h("article"), show() {}, refresh() {}, concerns: () => false, close() {} };
}
