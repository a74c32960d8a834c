// What the reader does with the mouse or a finger over a chart: a stretch is chosen, a point, a cell or a name is clicked.

/** @import {Drawing} from "../types.d.ts" */
/** @import {Plot} from "./plotly.js" */
import { put, sheets } from "./marks.js";
import { library } from "./plotly.js";

const STILL = 4; // pixels: what moves less is a click

/** Listen over a chart. @param {Plot} box @param {() => Drawing | undefined} now what of it is to be told */
export function listen(box, now) {
  box.addEventListener("pointerdown", (down) => {
    const place = now()?.onName && named(box, down);
    if (typeof place !== "number") return;
    // Plotly lays something over the page while a button is pressed on an axis: the release is heard of there.
    addEventListener("pointerup", (up) => !moved(down, up) && now()?.onName?.(place), { once: true });
  });
  box.on("plotly_hover", (event) => {
    const point = event.points?.[0];
    const index = point?.data?.meta?.class;
    if (typeof index === "number") now()?.onClass?.(index);
    if (Array.isArray(point?.pointNumber)) now()?.onHover?.([Math.round(point.y), Math.round(point.x)]);
  });
  box.on("plotly_unhover", () => {
    now()?.onHover?.(null);
    now()?.onClass?.(null);
  });
  box.addEventListener("pointermove", (event) => {
    const tell = now()?.onPoint;
    const axis = box._fullLayout?.xaxis;
    if (!tell || !axis) return;
    const at = event.clientX - box.getBoundingClientRect().left - axis._offset;
    tell(at >= 0 && at <= axis._length ? axis.p2d(at) : null);
  });
  box.on("plotly_relayout", (event) => {
    if (!Object.keys(event).some((part) => part.includes("axis"))) return;
    const { xaxis, yaxis } = box._fullLayout;
    now()?.onZoom?.(xaxis.range, yaxis.range);
  });
  box.addEventListener("pointerleave", () => now()?.onPoint?.(null));
  box.on("plotly_click", ({ points }) => pick(points?.[0], now()));
  brush(box, now);
}

/** A point or a cell was clicked. @param {any} point @param {Drawing | undefined} drawing */
function pick(point, drawing) {
  if (!point) return;
  if (Array.isArray(point.pointNumber)) drawing?.onCell?.(point.pointNumber[0], point.pointNumber[1], point.customdata);
  else drawing?.onPick?.(Number(point.x));
}

/**
 * A drag over the plot chooses a stretch of it, where the chart is made for that and the reader has not chosen to zoom.
 * Plotly's own way goes through all points at every move, and draws the chart anew to forget what was chosen.
 * @param {Plot} box
 * @param {() => Drawing | undefined} now
 */
function brush(box, now) {
  const brushes = (/** @type {Event} */ { target }) => target instanceof Element && target.matches(".nsewdrag") && box._fullLayout?.dragmode === "select";
  let dragged = false;
  for (const kind of ["mousedown", "touchstart"]) {
    box.addEventListener(kind, (event) => {
      if (!brushes(event)) return;
      event.stopPropagation();
      if (kind === "mousedown") event.preventDefault(); // else it selects words
    }, { capture: true, passive: kind !== "mousedown" });
  }
  box.addEventListener("pointerdown", (down) => {
    dragged = false;
    if (down.button || !brushes(down)) return;
    const { xaxis, yaxis, selectdirection } = box._fullLayout;
    const { left, top } = box.getBoundingClientRect();
    const band = document.createElement("i");
    band.className = "mark brushed";
    /** The stretch between where the pointer was pressed and where it is, in pixels and in the axis's values. @param {any} axis @param {number} a @param {number} b */
    const stretch = (axis, a, b) => {
      const [low, high] = [Math.min(a, b), Math.max(a, b)].map((at) => Math.max(0, Math.min(axis._length, at - axis._offset)));
      const values = [axis.p2d(low), axis.p2d(high)].map(Number).sort((one, other) => one - other);
      return { low: low ?? 0, long: (high ?? 0) - (low ?? 0), values: /** @type {[number, number]} */ (values) };
    };
    const move = (/** @type {PointerEvent} */ event) => {
      if (event.pointerId !== down.pointerId || (!dragged && (!moved(down, event) || scrolls(down, event)))) return;
      if (!dragged) box.setPointerCapture(down.pointerId);
      dragged = true;
      const along = stretch(xaxis, down.clientX - left, event.clientX - left);
      const upright = selectdirection === "h" ? { low: 0, long: yaxis._length, values: yaxis.range } : stretch(yaxis, down.clientY - top, event.clientY - top);
      if (!band.isConnected) sheets(box).over.append(band);
      put(band, along.low, upright.low, along.long, upright.long);
      now()?.onBrush?.(along.values, event.type === "pointerup", upright.values);
    };
    const over = (/** @type {PointerEvent} */ event) => {
      if (event.pointerId !== down.pointerId) return;
      for (const kind of /** @type {const} */ (["pointermove", "pointerup", "pointercancel"])) removeEventListener(kind, kind === "pointermove" ? move : over);
      if (event.type === "pointerup") move(event);
      band.remove();
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", over);
    addEventListener("pointercancel", over);
  });
  box.addEventListener("click", (event) => {
    if (dragged || event.detail > 1 || !brushes(event)) return;
    void library().then(({ Fx }) => {
      Fx.hover(box, event, "xy"); // a finger has not been over the point before
      pick(box._hoverdata?.[0], now());
    });
  });
  box.addEventListener("dblclick", (event) => brushes(event) && now()?.onBrush?.(null, true));
}

/** @param {MouseEvent} from @param {MouseEvent} to */
const moved = (from, to) => Math.hypot(to.clientX - from.clientX, to.clientY - from.clientY) >= STILL;

/** Whether a finger rather moves the page. @param {PointerEvent} from @param {PointerEvent} to */
const scrolls = (from, to) => from.pointerType === "touch" && Math.abs(to.clientY - from.clientY) > Math.abs(to.clientX - from.clientX);

/** The place on an axis beside which the pointer is, where the names of classes stand. @param {Plot} box @param {PointerEvent} event */
function named(box, event) {
  const { xaxis, yaxis } = box._fullLayout ?? {};
  if (!xaxis || !yaxis) return null;
  const { left, top } = box.getBoundingClientRect();
  const x = event.clientX - left - xaxis._offset;
  const y = event.clientY - top - yaxis._offset;
  if (x < 0 && x > -160 && y >= 0 && y <= yaxis._length) return Math.round(yaxis.p2d(y));
  if (xaxis.tickmode === "array" && y > yaxis._length && y < yaxis._length + 60 && x >= 0 && x <= xaxis._length) return Math.round(xaxis.p2d(x));
  return null;
}
