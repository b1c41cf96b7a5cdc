// A file that is dropped or chosen: what the model makes of it.

import { element, viewFor } from "./views.js";

export class Upload {
  // `label()` is the class to encode as; `moved(z, label)` goes to a code; `went(example)` to an example.
  constructor(model, { label, moved, went, failed }) {
    Object.assign(this, { model, label, moved, went, failed });
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

  async encode(file) {
    const home = document.querySelector("#encoded"), { about } = this.model;
    home.textContent = `Encoding ${file.name} …`;
    try {
      if (file.size > about.bytes) throw new Error(`expected a file of at most ${about.bytes >> 20} MiB, got ${file.name} of ${Math.ceil(file.size / 2 ** 20)} MiB; make it smaller`);
      const found = await this.model.encode(file, this.label());
      home.textContent = "";
      const z = new Float32Array(found.z);
      const pair = element("div", home, "pair");
      for (const [name, bytes] of [["as given", bytesOf(found.input)], ["rebuilt", bytesOf(found.rebuilt)]]) {
        const figure = element("figure", pair);
        new (viewFor(about))(figure, about).show(bytes);
        element("figcaption", figure).textContent = name;
      }
      if (found.neighbours.length) await this.neighbours(home, found.neighbours);
      this.moved(z, found.label);
      await this.figures(home, file);
    } catch (error) {
      home.textContent = "";
      this.failed(error);
    }
  }

  // Bounds and strangeness, which take longer the first time.
  async figures(home, file) {
    const waiting = element("p", home);
    waiting.textContent = "Scoring …";
    const { figures, note } = await this.model.judge(file, this.label()).finally(() => waiting.remove());
    const table = element("table", home, "figures");
    for (const [name, value] of figures) {
      const row = element("tr", table);
      element("th", row).textContent = name;
      element("td", row).textContent = value;
    }
    element("p", home, "unit").textContent = note;
  }

  async neighbours(home, numbers) {
    const { about } = this.model;
    element("p", home).textContent = "Nearest test examples";
    const strip = element("div", home, "strip");
    for (const number of numbers) {
      const button = Object.assign(element("button", strip), { type: "button" });
      const name = `Example ${number.toLocaleString("en")}${this.model.labels.length ? `, ${about.classes[this.model.labels[number]]}` : ""}`;
      button.setAttribute("aria-label", name);
      button.title = name;
      button.addEventListener("click", () => this.went(number));
      if (about.kind === "image") new (viewFor(about))(button, about).show(await this.model.example(number));
      else button.textContent = name;
    }
  }
}

const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
