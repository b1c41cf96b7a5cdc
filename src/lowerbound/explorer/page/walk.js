// The way from a code A to a code B, and going along it.

import { slerp } from "./codes.js";
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
    const [first, last] = this.ends;
    this.path = first.z && last.z ? slerp(first.z, last.z, STEPS) : [];
    this.play.disabled = this.along.disabled = !this.path.length;
    this.marked(this.ends.filter((each) => each.z), this.path);
    try {
      if (end.view) end.view.show(await this.model.decode(z, label));
      else end.home.textContent = end.name;
    } catch (error) {
      this.failed(error);
    }
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
