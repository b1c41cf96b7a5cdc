// A slider for each dimension, in the order of what it tells of the data.

import { element } from "./views.js";

const LEAST = 1; // nat, that a whole bar stands for at least, so that those of a collapsed model are empty

export class Sliders {
  constructor(about, moved) {
    const folded = document.querySelector("#folded"), most = Math.max(...(about.kl ?? []), LEAST);
    const places = [document.querySelector("#sliders"), document.querySelector("#inactive")];
    this.rows = about.order.map((dimension) => {
      const home = element("label", places[about.active[dimension] ? 0 : 1], "dimension");
      const kl = about.kl?.[dimension];
      element("span", home, "name").textContent = about.names[dimension];
      const range = Object.assign(element("input", home), {
        type: "range", min: about.low[dimension], max: about.high[dimension], step: "any", value: 0,
      });
      range.setAttribute("aria-label", about.names[dimension]);
      range.addEventListener("input", () => moved(dimension, Number(range.value)));
      const value = element("output", home);
      const bar = element("meter", home);
      Object.assign(bar, { min: 0, max: most, value: kl ?? 0, hidden: kl === undefined });
      if (kl !== undefined) {
        element("span", home, "nats").textContent = kl.toFixed(2);
        home.title = `KL ${kl.toFixed(3)} nats`;
      }
      return { dimension, range, value };
    });
    document.querySelector("#dimensions small").hidden = !about.kl;
    const inactive = about.active.filter((is) => !is).length;
    folded.hidden = inactive === 0;
    folded.open = inactive === about.latent;
    folded.querySelector("summary").textContent = `${inactive} inactive, which tell nothing of the data`;
  }

  show(z) {
    for (const { dimension, range, value } of this.rows) {
      if (document.activeElement !== range || Number(range.value) !== z[dimension]) range.value = z[dimension];
      value.textContent = z[dimension].toFixed(2).replace("-", "−");
    }
  }
}
