// Whose turn it is to draw: one chart a frame, so that the first is seen before the last is drawn.

/** @type {Promise<unknown>} */
let line = Promise.resolve();

/** Resolves when it is the caller's turn: after the frame that shows what was drawn in the turn before. @returns {Promise<unknown>} */
export function turn() {
  const mine = line;
  line = mine.then(frame);
  return mine;
}

function frame() {
  return new Promise((resolve) => {
    if (document.hidden) setTimeout(resolve); // there are no frames
    else requestAnimationFrame(() => setTimeout(resolve));
  });
}
