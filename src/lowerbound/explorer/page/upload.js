// A file that is dropped or chosen: what the model makes of it.

import { nearest } from "./codes.js";
import { Latest } from "./latest.js";
import { element, viewFor } from "./views.js";

const NEIGHBOURS = 8, CELLS = 5;

// The first few cells of a row that are not empty.
const cellsOf = (bytes) => JSON.parse(new TextDecoder().decode(bytes)).map(({ text }) => text).filter(Boolean).slice(0, CELLS).join(", ");

export class Upload {
  // `label()` is the class to encode as; `moved(z, label)` goes to a code; `went(example)` to an example.
  constructor(model, { label, moved, went }) {
    const [home, refused] = ["#encoded", "#refused"].map((name) => document.querySelector(name));
    Object.assign(this, { model, label, moved, went, home, refused });
    this.encoded = new Latest((file, label) => model.encode(file, label), (found, file) => this.show(found, file), (error) => {
      home.textContent = "";
      this.failed(error);
    });
    this.judged = new Latest(
      (file, label, card, waiting) => model.judge(file, label).finally(() => waiting.remove()),
      (found, file, label, card) => this.figures(found, card),
      (error) => this.failed(error),
    );
    const file = document.querySelector("#file"), drop = document.querySelector("#drop");
    document.querySelector("#takes").textContent = model.about.takes;
    file.accept = model.about.accept;
    document.querySelector("#choose").addEventListener("click", () => file.click());
    file.addEventListener("change", () => {
      if (file.files.length) this.encode(file.files[0]);
      file.value = "";
    });
    addEventListener("dragover", (event) => {
      event.preventDefault();
      drop.hidden = false;
    });
    for (const end of ["dragleave", "drop"]) {
      addEventListener(end, (event) => {
        event.preventDefault();
        if (end === "drop" || !event.relatedTarget) drop.hidden = true;
      });
    }
    addEventListener("drop", (event) => {
      if (event.dataTransfer.files.length) this.encode(event.dataTransfer.files[0]);
    });
  }

  // Told beside the box of files, until the next one is taken up.
  failed(error) {
    this.refused.textContent = error.message;
    this.refused.scrollIntoView({ block: "nearest" });
  }

  encode(file) {
    const { about } = this.model;
    this.refused.textContent = "";
    if (file.size > about.bytes) return this.failed(new Error(`expected a file of at most ${about.bytes >> 20} MiB, got ${file.name} of ${Math.ceil(file.size / 2 ** 20)} MiB; make it smaller`));
    this.home.textContent = `Encoding ${file.name} …`;
    this.encoded.ask(file, this.label());
  }

  // The newest file's card takes the place of others; what is still on its way to these is not seen.
  show(found, file) {
    const { about } = this.model;
    this.home.textContent = "";
    const card = element("div", this.home), pair = element("div", card, "pair");
    for (const [name, bytes] of [["as given", found.input], ["rebuilt", found.rebuilt]]) {
      const figure = element("figure", pair);
      new (viewFor(about))(figure, about).show(bytes);
      element("figcaption", figure).textContent = name;
    }
    if (found.count > 1) element("p", card, "unit").textContent = `The first of ${found.count.toLocaleString("en")} ${about.nouns} in ${file.name}.`;
    const neighbours = nearest(this.model.codes, found.z, NEIGHBOURS);
    if (neighbours.length) this.neighbours(card, neighbours).catch((error) => this.failed(error));
    this.moved(new Float32Array(found.z), found.label);
    const waiting = element("p", card);
    waiting.textContent = "Scoring …";
    this.judged.ask(file, found.label, card, waiting);
  }

  // Bounds and strangeness, which take longer the first time.
  figures({ figures, note }, card) {
    const table = element("table", card, "figures");
    for (const [name, value] of figures) {
      const row = element("tr", table);
      element("th", row).textContent = name;
      element("td", row).textContent = value;
    }
    element("p", card, "unit").textContent = note;
  }

  async neighbours(card, numbers) {
    const { about } = this.model;
    element("p", card).textContent = "Nearest examples";
    const strip = element("div", card, "strip");
    for (const number of numbers) {
      const button = Object.assign(element("button", strip), { type: "button" });
      const name = `Example ${number.toLocaleString("en")}${this.model.labels.length ? `, ${about.classes[this.model.labels[number]]}` : ""}`;
      button.setAttribute("aria-label", name);
      button.title = name;
      button.addEventListener("click", () => this.went(number));
      const bytes = await this.model.example(number);
      if (about.kind === "image") new (viewFor(about))(button, about).show(bytes);
      else button.textContent = about.kind === "row" ? cellsOf(bytes) : name;
    }
  }
}
