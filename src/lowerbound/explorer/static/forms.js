// An example's values as the bytes that a view shows.

import { dateOf } from "./dates.js";

export const FALSE_OF = { True: "False", true: "false", TRUE: "FALSE" };

// `of(values, outputs)` makes them, of decoded ones with all `needs` of the decoder's outputs.
export function formOf(about, onnx) {
  return { image: imageForm, row: rowForm, melody: tokenForm, text: textForm }[about.kind](about, onnx);
}

function imageForm({ shape: [channels, height, width], range: { low, high } }) {
  const size = height * width;
  const of = (values) => {
    const levels = new Uint8ClampedArray(channels * size);
    for (let c = 0; c < channels; c++) {
      for (let i = 0; i < size; i++) levels[channels * i + c] = (255 * (values[c * size + i] - low)) / (high - low);
    }
    return levels;
  };
  return { needs: ["mean"], of };
}

function rowForm({ columns, range: { low, span } }, { families, data }) {
  const fields = fieldsOf(data);
  const nominal = (families ?? []).map(({ likelihood, columns }, i) => ({ name: `${i}.logits`, columns, is: likelihood === "Nominal" })).filter(({ is }) => is);
  const of = (values, outputs) => {
    const shares = new Map();
    for (const { name, columns: group } of outputs ? nominal : []) {
      const logits = outputs[name], categories = logits.length / group.length;
      group.forEach((column, i) => shares.set(column, softmax(logits.subarray(i * categories, (i + 1) * categories))));
    }
    const row = columns.map((_, i) => {
      const value = Number(values[i]), { categories } = fields[i];
      const has = span[i] > 0 && !categories && Number.isFinite(value);
      const at = has ? Math.min(1, Math.max(0, (value - low[i]) / span[i])) : null;
      return { text: textOf(fields[i], value), at, shares: (categories && shares.get(i)) ?? null };
    });
    return new TextEncoder().encode(JSON.stringify(row));
  };
  return { needs: ["mean", ...nominal.map(({ name }) => name)], of };
}

const tokenForm = () => ({ needs: ["mean"], of: (values) => Uint8Array.from(values, Number) });

const textForm = (_, { data: { fields: [{ categories }] } }) => ({
  needs: ["mean"],
  of: (values) => new TextEncoder().encode([...values].map((token) => categories[Number(token)]).join(" ")),
});

function textOf({ categories, form }, value) {
  if (!Number.isFinite(value)) return "";
  if (categories) return categories[Math.min(categories.length - 1, Math.max(0, Math.round(value)))];
  if (form.includes("%")) return dateOf(value, form);
  if (form === "whole") return String(Math.round(value)).replace("-", "−");
  if (form) return value > 0.5 ? form : FALSE_OF[form];
  return plain(value).replace("-", "−");
}

// A number with four digits, or all those before its point; see `plain` of forms.py.
export function plain(value) {
  const [digits, power] = value.toExponential(3).split("e").map(Number);
  return power > -7 && power < 15 ? String(Number(value.toFixed(Math.max(0, 3 - power)))) : `${digits}e${power}`;
}

// The field of each column of a table, which may have no names.
export function fieldsOf({ fields, shape }) {
  const columns = shape.reduce((product, n) => product * n, 1);
  return fields.length === columns ? fields : Array(columns).fill({ ...fields[0], name: null, form: "", categories: null });
}

function softmax(logits) {
  const most = Math.max(...logits), weights = Array.from(logits, (value) => Math.exp(value - most));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}
