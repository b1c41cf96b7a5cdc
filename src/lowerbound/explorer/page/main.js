// The page: a code z, and all that shows it or moves it.

import { ofClass, onTheme } from "./colours.js";
import { Map2D } from "./map.js";
import { Latest } from "./latest.js";
import { Model } from "./model.js";
import { Sliders } from "./sliders.js";
import { Upload } from "./upload.js";
import { element, viewFor } from "./views.js";
import { Walk } from "./walk.js";

const find = (name) => document.querySelector(name);
const status = (text, isAlarm = false) => {
  find("#status").textContent = text;
  find("#status").className = isAlarm ? "alarm" : "";
};
const failed = (error) => status(error.message, true);

class Explorer {
  constructor(model) {
    const { about } = model;
    Object.assign(this, { model, about, z: new Float32Array(about.latent), label: about.conditional ? 0 : -1 });
    document.title = `${about.title} – lowerbound`;
    find("#title").textContent = about.title;
    find("#lead").textContent = about.lead;
    find("#picture").className = about.kind;
    status(about.note);
    this.view = new (viewFor(about))(find("#picture"), about);
    this.decoded = new Latest((z, label) => model.decode(z, label), (bytes) => this.view.show(bytes), failed);
    this.map = new Map2D(model, {
      moved: (z, example) => this.move(z, example < 0 ? this.label : this.labelOf(example)),
      hovered: (example, left, top) => this.tip(example, left, top),
    });
    this.sliders = new Sliders(about, (dimension, value) => this.move(this.z.with(dimension, value)));
    this.walk = new Walk(model, {
      code: () => this,
      moved: (z, label) => this.move(z, label),
      marked: (marks, path) => Object.assign(this.map, { marks, path }) && this.map.drawMarks(),
      failed,
    });
    this.upload = new Upload(model, {
      label: () => this.label,
      moved: (z, label) => this.move(z, label),
      went: (example) => this.go(example),
    });
    this.axes();
    this.classes();
    this.colours();
    this.buttons();
    this.tips();
    this.move(this.z);
  }

  // Goes to a code, and shows it everywhere.
  move(z, label = this.label) {
    this.z = z;
    this.label = this.about.conditional ? label : -1;
    find("#label").value = this.label;
    this.decoded.ask(z, this.label);
    this.sliders.show(z);
    this.map.z = z;
    this.map.drawMarks();
  }

  go(example) {
    const { latent } = this.about;
    this.move(this.model.codes.slice(example * latent, (example + 1) * latent), this.labelOf(example));
  }

  labelOf(example) {
    return this.model.labels.length ? this.model.labels[example] : this.label;
  }

  axes() {
    const { about, map } = this, across = find("#across"), up = find("#up");
    const options = [...about.axes, ...about.order.map((i) => ({ name: about.names[i], direction: Float32Array.from({ length: about.latent }, (_, j) => Number(i === j)) }))];
    for (const select of [across, up]) {
      options.forEach(({ name }, i) => Object.assign(element("option", select), { textContent: name, value: i }));
    }
    up.value = Math.min(1, options.length - 1);
    const pairs = about.axes.length;
    const look = (changed) => {
      const other = changed === across ? up : across, mixed = (changed.value < pairs) !== (other.value < pairs);
      if (mixed) other.value = changed.value < pairs ? 1 - changed.value : pairs + (Number(changed.value) === pairs ? 1 : 0);
      else if (other.value === changed.value) other.value = changed.value < pairs ? 1 - changed.value : pairs + ((changed.value - pairs + 1) % about.latent);
      const [x, y] = [options[across.value], options[up.value]];
      map.look(x.direction, x === y ? new Float32Array(about.latent) : y.direction, [x.name, x === y ? "" : y.name]);
    };
    across.addEventListener("change", () => look(across));
    up.addEventListener("change", () => look(up));
    look(up);
  }

  classes() {
    const { about } = this, select = find("#label");
    find("#class").hidden = !about.conditional;
    if (about.conditional) {
      about.classes.forEach((name, i) => Object.assign(element("option", select), { textContent: name, value: i }));
      select.addEventListener("change", () => this.move(this.z, Number(select.value)));
    }
  }

  colours() {
    const select = find("#colour"), { labels } = this.model, { about, map } = this;
    const kinds = [...(labels.length ? [["class", "by class"]] : []), ["one", "one colour"], ...(about.score ? [["score", `by ${about.score}`]] : [])];
    kinds.forEach(([value, textContent]) => Object.assign(element("option", select), { value, textContent }));
    find("#colouring").hidden = !this.model.codes.length;
    select.addEventListener("change", () => this.paint(select.value));
    this.paint(select.value);
    const legend = find("#legend");
    const draw = () => {
      legend.textContent = "";
      if (!labels.length) return;
      about.classes.slice(0, 50).forEach((name, label) => {
        const button = Object.assign(element("button", legend), { type: "button", title: `Hide or show ${name}` });
        element("i", button).style.background = ofClass(label);
        button.append(name);
        button.setAttribute("aria-pressed", !map.points.hidden.has(label));
        button.addEventListener("click", () => {
          const hidden = button.getAttribute("aria-pressed") === "true";
          button.setAttribute("aria-pressed", !hidden);
          map.hide(label, hidden);
        });
      });
    };
    draw();
    onTheme(draw);
  }

  async paint(colour) {
    if (colour !== "score" || this.map.scores) return this.map.paint(colour);
    status("Scoring the examples …");
    try {
      const scores = await this.model.scores();
      this.map.paint(find("#colour").value, scores);
      status(`${this.about.score}: bright is likelier`);
    } catch (error) {
      failed(error);
    }
  }

  buttons() {
    find("#closer").addEventListener("click", () => this.map.zoom(1.4));
    find("#farther").addEventListener("click", () => this.map.zoom(1 / 1.4));
    find("#fit").addEventListener("click", () => this.map.fit());
    find("#reset").addEventListener("click", () => this.move(new Float32Array(this.about.latent)));
    const sound = find("#sound");
    sound.hidden = this.about.kind !== "melody";
    sound.addEventListener("click", () => {
      sound.textContent = this.view.playing ? "Play melody" : "Stop";
      this.view.play(() => (sound.textContent = "Play melody"));
    });
    addEventListener("keydown", (event) => {
      if (event.target.matches("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
      const call = { a: () => this.walk.set(0), b: () => this.walk.set(1), p: () => this.walk.toggle() }[event.key];
      if (call) call();
    });
  }

  // What is pointed at.
  tips() {
    const tip = find("#tip"), { about } = this;
    this.tipText = null;
    const view = new (viewFor(about))(tip, about);
    const name = element("p", tip);
    this.pointed = new Latest(
      (example) => (example < 0 ? null : this.model.example(example)),
      (bytes, example, left, top) => {
        tip.hidden = example < 0;
        if (example < 0) return;
        view.show(bytes);
        const of = this.model.labels.length ? `, ${about.classes[this.model.labels[example]]}` : "";
        const score = this.map.scores ? `, ${about.score} ${this.map.scores[example].toFixed(1)}` : "";
        name.textContent = `${example.toLocaleString("en")}${of}${score}`;
        const { width, height } = this.map.view;
        tip.style.left = `${left + 14 + tip.offsetWidth > width ? left - 14 - tip.offsetWidth : left + 14}px`;
        tip.style.top = `${Math.max(0, Math.min(top + 14, height - tip.offsetHeight))}px`;
      },
      failed,
    );
  }

  tip(example, left, top) {
    if (example === this.tipped) return;
    this.tipped = example;
    this.pointed.ask(example, left, top);
  }
}

status("Loading …");
try {
  const model = await Model.open();
  globalThis.explorer = new Explorer(model);
  document.body.classList.add("ready");
} catch (error) {
  failed(error);
}
