// Points drawn into an array of pixels, each as a soft disc.

const BRIEF = 30000;

export class Points {
  constructor(canvas, count) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.order = shuffled(count);
    this.x = this.y = new Float32Array(count);
    this.colours = new Uint8Array(3 * count);
    this.groups = null;
    this.hidden = new Set();
  }

  // The codes (count, latent) along two directions.
  project(codes, across, up) {
    this.x = along(codes, across);
    this.y = along(codes, up);
  }

  isShown(i) {
    return !this.groups || !this.hidden.has(this.groups[i]);
  }

  // `briefly` draws some of them at random, where all would take too long to follow a gesture.
  draw(view, background, briefly) {
    const { width, height } = this.canvas;
    if (this.pixels?.width !== width || this.pixels?.height !== height) {
      this.pixels = new ImageData(width, height);
    }
    const { data } = this.pixels, [r, g, b] = background;
    new Uint32Array(data.buffer).fill((255 << 24) | (b << 16) | (g << 8) | r);
    const count = this.order.length, shown = briefly ? Math.min(count, BRIEF) : count;
    const ratio = view.ratio, size = ratio * Math.min(3.2, Math.max(1.1, Math.sqrt(50000 / count)));
    const { places, weights, reach } = disc(size, width, Math.min(0.9, Math.max(0.45, Math.sqrt(6000 / count))));
    for (let k = 0; k < shown; k++) {
      const i = this.order[k];
      if (!this.isShown(i)) continue;
      const px = Math.round(view.left(this.x[i]) * ratio), py = Math.round(view.top(this.y[i]) * ratio);
      if (px < reach || py < reach || px >= width - reach || py >= height - reach) continue;
      const base = 4 * (py * width + px), red = this.colours[3 * i], green = this.colours[3 * i + 1], blue = this.colours[3 * i + 2];
      for (let j = 0; j < places.length; j++) {
        const at = base + places[j], weight = weights[j];
        data[at] += (red - data[at]) * weight;
        data[at + 1] += (green - data[at + 1]) * weight;
        data[at + 2] += (blue - data[at + 2]) * weight;
      }
    }
    this.context.putImageData(this.pixels, 0, 0);
  }

  // The number of the point that is nearest to a place in pixels of the page, or −1 beyond `within`.
  nearest(view, left, top, within) {
    const x = view.x(left), y = view.y(top);
    let best = (within / view.scale) ** 2, found = -1;
    for (let i = 0; i < this.order.length; i++) {
      const distance = (this.x[i] - x) ** 2 + (this.y[i] - y) ** 2;
      if (distance < best && this.isShown(i)) [best, found] = [distance, i];
    }
    return found;
  }

  // The least square that has all but the most extreme points.
  extent() {
    const ends = (values) => {
      const sorted = Float32Array.from(values).sort(), cut = Math.floor(sorted.length / 1000);
      return [sorted[cut], sorted[sorted.length - 1 - cut]];
    };
    return this.order.length ? [...ends(this.x), ...ends(this.y)] : [-3, 3, -3, 3];
  }
}

function along(codes, direction) {
  const latent = direction.length, found = new Float32Array(codes.length / latent);
  const used = [...direction.keys()].filter((j) => direction[j]);
  for (let i = 0; i < found.length; i++) {
    for (const j of used) found[i] += codes[i * latent + j] * direction[j];
  }
  return found;
}

function disc(radius, width, opacity) {
  const places = [], weights = [], reach = Math.ceil(radius);
  for (let y = -reach; y <= reach; y++) {
    for (let x = -reach; x <= reach; x++) {
      const inside = Math.min(1, Math.max(0, radius + 0.5 - Math.hypot(x, y)));
      if (inside) places.push(4 * (y * width + x)), weights.push(inside * opacity);
    }
  }
  return { places: Int32Array.from(places), weights: Float32Array.from(weights), reach };
}

// All numbers below n in an order that has nothing to do with the data's, the same each time.
function shuffled(n) {
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  let state = 1;
  for (let i = n - 1; i > 0; i--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const j = Math.floor((state / 2 ** 32) * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}
