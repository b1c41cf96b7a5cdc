// A plane through the latent space: where it is looked at, and the gestures on it.

const SNAP = 7, STEP = 12;

// From coordinates in the plane to pixels of the page and back.
export class View {
  constructor() {
    Object.assign(this, { width: 1, height: 1, ratio: 1, centre: [0, 0], scale: 1 });
  }

  left = (x) => this.width / 2 + (x - this.centre[0]) * this.scale;
  top = (y) => this.height / 2 - (y - this.centre[1]) * this.scale;
  x = (left) => this.centre[0] + (left - this.width / 2) / this.scale;
  y = (top) => this.centre[1] - (top - this.height / 2) / this.scale;

  fit([left, right, bottom, top]) {
    this.centre = [(left + right) / 2, (bottom + top) / 2];
    const span = 1.12 * Math.max((right - left) / this.width, (top - bottom) / this.height);
    this.scale = 1 / Math.max(span, 1e-9);
    this.least = this.scale / 20;
    this.most = this.scale * 2000;
  }

  zoom(factor, left = this.width / 2, top = this.height / 2) {
    const [x, y] = [this.x(left), this.y(top)];
    this.scale = Math.min(this.most, Math.max(this.least, this.scale * factor));
    this.centre[0] += x - this.x(left);
    this.centre[1] += y - this.y(top);
  }

  pan(right, down) {
    this.centre[0] -= right / this.scale;
    this.centre[1] += down / this.scale;
  }
}

// Turns pointers, wheel and keys into calls: press(left, top), drag(left, top), hover(left, top),
// looked() after a zoom or a pan, step(x, y) and all().
export function listen(canvas, view, told) {
  const pointers = new Map();
  let moving = false, begun = null;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    canvas.focus({ preventScroll: true });
    pointers.set(event.pointerId, place(event));
    moving = pointers.size === 1 && (event.shiftKey || event.button === 1);
    begun = pointers.size === 1 && !moving && event.button === 0 ? place(event) : null;
    if (begun && event.pointerType !== "touch") told.press(...begun);
    event.preventDefault();
  });
  canvas.addEventListener("pointermove", (event) => {
    const now = place(event), before = pointers.get(event.pointerId);
    if (!before) return told.hover(...now);
    if (pointers.size === 2) {
      const [other] = [...pointers].find(([id]) => id !== event.pointerId).slice(1);
      pinch(view, before, now, other);
      told.looked();
    } else if (moving) {
      view.pan(now[0] - before[0], now[1] - before[1]);
      told.looked();
    } else if (begun && (begun === true || Math.hypot(now[0] - begun[0], now[1] - begun[1]) > 3)) {
      begun = true;
      told.drag(...now);
    }
    pointers.set(event.pointerId, now);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, (event) => {
      // A finger may be the first of two, so that it presses when it leaves.
      if (end === "pointerup" && event.pointerType === "touch" && begun && begun !== true) told.press(...begun);
      pointers.delete(event.pointerId);
      begun = null;
    });
  }
  canvas.addEventListener("pointerleave", () => told.hover());
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    view.zoom(Math.exp(-0.0015 * event.deltaY * (event.deltaMode ? 30 : 1)), ...place(event));
    told.looked();
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const size = event.shiftKey ? 4 * STEP : STEP;
    const way = { ArrowLeft: [-size, 0], ArrowRight: [size, 0], ArrowUp: [0, size], ArrowDown: [0, -size] }[event.key];
    const zoom = { "+": 1.25, "=": 1.25, "-": 0.8, "−": 0.8 }[event.key];
    if (way) told.step(way[0] / view.scale, way[1] / view.scale);
    else if (zoom) view.zoom(zoom), told.looked();
    else if (event.key === "0") told.all();
    else return;
    event.preventDefault();
  });
}

function pinch(view, before, now, other) {
  const apart = (a) => Math.max(10, Math.hypot(a[0] - other[0], a[1] - other[1]));
  const middle = (a) => [(a[0] + other[0]) / 2, (a[1] + other[1]) / 2];
  const [left, top] = middle(now), [leftBefore, topBefore] = middle(before);
  view.pan(left - leftBefore, top - topBefore);
  view.zoom(apart(now) / apart(before), left, top);
}

export { SNAP };
