// The map of the latent space: its axes, points, marks, and what pointing at it does.

import { byRank, channels, css, ofClass, onTheme } from "./colours.js";
import { SNAP, View, listen } from "./plane.js";
import { Points } from "./points.js";

const RESTS = 150;

export class Map2D {
  // `told` hears of moved(z, example), where the code was put, and hovered(example, left, top).
  constructor(model, told) {
    Object.assign(this, { model, told, view: new View(), marks: [], path: [], z: null });
    this.about = model.about;
    this.canvas = document.querySelector("#points");
    this.overlay = document.querySelector("#overlay");
    this.points = new Points(this.canvas, model.codes.length / this.about.latent);
    this.colour = "one";
    this.frame = null;
    listen(this.overlay, this.view, {
      press: (left, top) => this.press(left, top),
      drag: (left, top) => this.drag(left, top),
      hover: (left, top) => this.hover(left, top),
      looked: () => this.looked(),
      step: (x, y) => this.shift(x, y),
      all: () => this.fit(),
    });
    new ResizeObserver(() => this.resize()).observe(this.overlay.parentElement);
    onTheme(() => this.paint());
  }

  // Looks at the space along two directions, orthogonal and of length 1.
  look(across, up, names) {
    Object.assign(this, { across, up, names });
    this.points.project(this.model.codes, across, up);
    this.fit();
  }

  fit() {
    const [left, right, bottom, top] = this.points.extent(), least = this.about.normal ? 2.2 : 0;
    const square = [Math.min(left, -least), Math.max(right, least), Math.min(bottom, -least), Math.max(top, least)];
    this.view.fit(this.about.normal ? square : [left, right, bottom, top]);
    this.draw();
  }

  zoom(factor) {
    this.view.zoom(factor);
    this.looked();
  }

  resize() {
    const { width, height } = this.overlay.parentElement.getBoundingClientRect();
    const ratio = Math.min(2, devicePixelRatio || 1), before = this.view.width;
    Object.assign(this.view, { width, height, ratio });
    for (const canvas of [this.canvas, this.overlay]) {
      Object.assign(canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    }
    if (!this.across) return;
    if (before <= 1) this.fit();
    this.draw();
  }

  // Gives each point its colour: by "class", by "score" (of which `scores` are the values), or one.
  paint(colour = this.colour, scores = this.scores) {
    Object.assign(this, { colour, scores });
    const { points } = this, { labels } = this.model, n = points.order.length;
    points.groups = labels.length ? labels : null;
    if (colour === "score") points.colours = byRank(scores);
    else {
      const one = channels(css("--accent")), found = new Map();
      for (let i = 0; i < n; i++) {
        const label = colour === "class" ? labels[i] : -1;
        if (!found.has(label)) found.set(label, label < 0 ? one : channels(ofClass(label)));
        points.colours.set(found.get(label), 3 * i);
      }
    }
    this.draw();
  }

  hide(label, isHidden) {
    if (isHidden) this.points.hidden.add(label);
    else this.points.hidden.delete(label);
    this.draw();
  }

  // Where a code lies in the plane.
  place(z) {
    return [this.across, this.up].map((way) => way.reduce((sum, value, i) => sum + value * z[i], 0));
  }

  press(left, top) {
    const found = this.points.nearest(this.view, left, top, SNAP);
    if (found < 0) return this.drag(left, top);
    const { latent } = this.about;
    this.told.moved(this.model.codes.slice(found * latent, (found + 1) * latent), found);
  }

  drag(left, top) {
    const [x, y] = this.place(this.z);
    this.shift(this.view.x(left) - x, this.view.y(top) - y);
  }

  // Moves the code in the plane; what it is beside the plane stays.
  shift(x, y) {
    this.told.hovered(-1);
    this.told.moved(this.z.map((value, i) => value + x * this.across[i] + y * this.up[i]), -1);
  }

  hover(left, top) {
    this.told.hovered(left === undefined ? -1 : this.points.nearest(this.view, left, top, SNAP), left, top);
  }

  looked() {
    this.briefly = true;
    clearTimeout(this.rest);
    this.rest = setTimeout(() => {
      this.briefly = false;
      this.draw();
    }, RESTS);
    this.draw();
  }

  // Everything, at the next frame.
  draw() {
    this.all = true;
    this.drawMarks();
  }

  // What lies over the points, at the next frame.
  drawMarks() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      if (!this.across || this.view.width <= 1) return;
      if (this.all) this.points.draw(this.view, channels(css("--paper")), this.briefly);
      this.all = false;
      this.overlayMarks();
    });
  }

  overlayMarks() {
    const { view, overlay, about } = this, context = overlay.getContext("2d");
    context.setTransform(view.ratio, 0, 0, view.ratio, 0, 0);
    context.clearRect(0, 0, view.width, view.height);
    context.font = "12px system-ui, sans-serif";
    context.lineJoin = "round";
    this.drawAxes(context);
    if (about.normal) for (const radius of [1, 2]) this.drawPrior(context, radius);
    if (this.colour === "class") this.drawNames(context);
    if (this.path.length) this.drawPath(context);
    for (const { z, name } of this.marks) this.drawMark(context, z, name);
    if (this.z) this.drawCode(context);
  }

  drawAxes(context) {
    const { view } = this, step = tidy(90 / view.scale);
    context.strokeStyle = css("--grid");
    context.fillStyle = css("--muted");
    context.lineWidth = 1;
    const line = (...ends) => {
      context.beginPath();
      context.moveTo(ends[0], ends[1]);
      context.lineTo(ends[2], ends[3]);
      context.stroke();
    };
    const ticks = (from, to) => {
      const found = [];
      for (let k = Math.ceil(from / step); k <= to / step; k++) found.push(k * step);
      return found;
    };
    context.textAlign = "center";
    for (const x of ticks(view.x(30), view.x(view.width))) {
      line(view.left(x), 0, view.left(x), view.height);
      outlined(context, told(x, step), view.left(x), view.height - 22);
    }
    context.textAlign = "left";
    for (const y of ticks(view.y(view.height - 40), view.y(0))) {
      line(0, view.top(y), view.width, view.top(y));
      outlined(context, told(y, step), 6, view.top(y) + 4);
    }
    context.textAlign = "right";
    outlined(context, this.names[0], view.width - 8, view.height - 6);
    context.textAlign = "left";
    outlined(context, this.names[1], 6, 16);
  }

  drawPrior(context, radius) {
    const { view } = this;
    context.setLineDash([5, 4]);
    context.strokeStyle = css("--ink");
    context.beginPath();
    context.arc(view.left(0), view.top(0), radius * view.scale, 0, 2 * Math.PI);
    context.stroke();
    context.setLineDash([]);
    context.fillStyle = css("--ink");
    context.textAlign = "center";
    outlined(context, `prior, ${radius}σ`, view.left(0), view.top(-radius) + 4);
  }

  drawNames(context) {
    const { points, view, about } = this;
    if (about.classes.length > 20) return;
    context.font = "600 13px system-ui, sans-serif";
    context.textAlign = "center";
    context.fillStyle = css("--ink");
    this.centres(points).forEach(([x, y], label) => {
      if (!points.hidden.has(label)) outlined(context, about.classes[label], view.left(x), view.top(y) + 4, 5);
    });
    context.font = "12px system-ui, sans-serif";
  }

  // The median of each class's points.
  centres({ x, y, groups }) {
    if (this.centresOf !== x) {
      const of = new Map();
      groups.forEach((label, i) => {
        if (!of.has(label)) of.set(label, []);
        of.get(label).push(i);
      });
      const middle = (values) => values.sort((a, b) => a - b)[values.length >> 1];
      this.found = new Map([...of].map(([label, all]) => [label, [middle(all.map((i) => x[i])), middle(all.map((i) => y[i]))]]));
      this.centresOf = x;
    }
    return this.found;
  }

  drawPath(context) {
    context.strokeStyle = css("--ink");
    context.lineWidth = 2;
    context.beginPath();
    for (const z of this.path) {
      const [x, y] = this.place(z);
      context.lineTo(this.view.left(x), this.view.top(y));
    }
    context.stroke();
  }

  drawMark(context, z, name) {
    const [x, y] = this.place(z), left = this.view.left(x), top = this.view.top(y);
    context.fillStyle = css("--ink");
    context.beginPath();
    context.arc(left, top, 10, 0, 2 * Math.PI);
    context.fill();
    context.fillStyle = css("--paper");
    context.textAlign = "center";
    context.font = "600 12px system-ui, sans-serif";
    context.fillText(name, left, top + 4);
    context.font = "12px system-ui, sans-serif";
  }

  drawCode(context) {
    const [x, y] = this.place(this.z), left = this.view.left(x), top = this.view.top(y);
    for (const [colour, width] of [[css("--paper"), 6], [css("--alarm"), 3]]) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.beginPath();
      context.arc(left, top, 9, 0, 2 * Math.PI);
      context.stroke();
    }
  }
}

// Text that is legible on points.
function outlined(context, text, left, top, width = 4) {
  context.strokeStyle = css("--paper");
  context.lineWidth = width;
  context.strokeText(text, left, top);
  context.fillText(text, left, top);
  context.lineWidth = 1;
  context.strokeStyle = css("--grid");
}

// 1, 2 or 5 times a power of ten, at least so much.
function tidy(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * [1, 2, 5, 10].find((times) => times * power >= least);
}

function told(value, step) {
  return value.toFixed(Math.max(0, -Math.floor(Math.log10(step) + 1e-9))).replace("-", "−").replace(/^−(0\.?0*)$/, "$1");
}
