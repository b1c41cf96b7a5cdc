// The way from a code A to a code B, and going along it.

import { Latest } from "./model.js";
import { viewFor } from "./views.js";

const STEPS = 121, SECONDS = 3;

export class Walk {
  // `code()` is where the page is, as {z, label}; `moved(z, label)` goes elsewhere; `marked(marks, path)`
  // is told of the ends and the way between them.
  constructor(model, { code, moved, marked, failed }) {
    Object.assign(this, { model, code, moved, marked, failed, ends: [null, null], path: [], frame: null });
    this.play = document.querySelector("#play");
    this.along = document.querySelector("#along");
    const View = viewFor(model.about);
    this.ends = ["first", "last"].map((name, i) => {
      document.querySelector(`#${name}`).addEventListener("click", () => this.set(i));
      const home = document.querySelector(`#${name}-picture`);
      return { name: "AB"[i], z: null, label: -1, view: model.about.kind === "image" ? new View(home, model.about) : null, home };
    });
    this.way = new Latest((first, last) => model.walk(first, last, STEPS), (path) => this.mark(path), failed);
    this.play.addEventListener("click", () => this.toggle());
    this.along.addEventListener("input", () => {
      this.stop();
      this.go(Number(this.along.value));
    });
  }

  async set(i) {
    const { z, label } = this.code(), end = this.ends[i];
    this.stop();
    Object.assign(end, { z: z.slice(), label });
    this.mark([]);
    const [first, last] = this.ends;
    if (first.z && last.z) this.way.ask(first.z, last.z);
    try {
      if (end.view) end.view.show(await this.model.decode(z, label));
      else end.home.textContent = end.name;
    } catch (error) {
      this.failed(error);
    }
  }

  // The way between the ends, none until it is known.
  mark(path) {
    this.path = path;
    this.play.disabled = this.along.disabled = !path.length;
    this.marked(this.ends.filter((each) => each.z), path);
  }

  // Each half is in the class of its end, as there is no class between two.
  go(share) {
    this.along.value = share;
    this.moved(this.path[Math.round(share * (STEPS - 1))].slice(), this.ends[Number(share >= 0.5)].label);
  }

  toggle() {
    if (this.frame) return this.stop();
    if (this.play.disabled) return;
    this.play.textContent = "Stop";
    const begun = performance.now();
    const step = (now) => {
      const turns = Math.max(0, now - begun) / 1000 / SECONDS;
      if (turns >= 2) return this.stop();
      this.go(turns <= 1 ? turns : 2 - turns);
      this.frame = requestAnimationFrame(step);
    };
    this.frame = requestAnimationFrame(step);
  }

  stop() {
    cancelAnimationFrame(this.frame);
    this.frame = null;
    this.play.textContent = "Play";
  }
}
