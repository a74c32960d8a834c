// The drawing library: loaded when something is to be drawn, and how it is told to behave.

/**
 * What is used of Plotly.
 * @typedef {HTMLElement & {
 *   on: (event: string, listener: (event: any) => void) => void,
 *   _fullLayout?: any,
 *   _fullData?: any,
 *   _hoverdata?: any,
 * }} Plot
 * @typedef {{
 *   react: (box: HTMLElement, data: object[], layout: object, config: object) => Promise<Plot>,
 *   purge: (box: HTMLElement) => void,
 *   toImage: (figure: { data: object[], layout: object }, how: object) => Promise<string>,
 *   Plots: { resize: (box: HTMLElement) => Promise<void> },
 *   Fx: { hover: (box: HTMLElement, event: MouseEvent, subplot: string) => void },
 * }} Plotly
 */

const SCRIPT = "/vendor/plotly-cartesian-4.1.1.min.js";
export const CONFIG = Object.freeze({
  displaylogo: false,
  showSendToCloud: false, // it would send the reader's numbers to a company
  plotlyServerURL: "",
  showLink: false,
  responsive: false, // a ResizeObserver sees more than the window's size
  displayModeBar: "hover",
  modeBarButtonsToRemove: ["lasso2d", "autoScale2d"],
  toImageButtonOptions: { format: "png", scale: 2 },
});

/** @type {Promise<Plotly> | null} */
let loading = null;

/** @returns {Promise<Plotly>} */
export function library() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = SCRIPT;
    script.onload = () => resolve(/** @type {any} */ (globalThis).Plotly);
    script.onerror = () => {
      loading = null;
      script.remove();
      reject(new Error("The drawing library could not be loaded from the service."));
    };
    document.head.append(script);
  });
  return loading;
}

// To compile it takes the longest of all that a first chart needs: a page of charts, which names it, has it done while the
// other modules come in.
if (document.querySelector('link[rel="preload"][as="script"]')) library().catch(() => {}); // told where it is needed
