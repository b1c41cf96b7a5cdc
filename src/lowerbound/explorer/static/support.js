// What the values of a column may be.

import { dateOf } from "./dates.js";
import { FALSE_OF } from "./forms.js";

export const isWhole = (value) => Number.isInteger(value) && value >= 0;

// What the numbers of each kind are, in words, and whether one is of them.
const ALLOWED = {
  binary: ["0 or 1, or 0 or 255", (value, { top }) => value === 0 || (top ? value === top : value === 1 || value === 255)],
  grey: ["whole numbers from 0 to 255", (value) => isWhole(value) && value <= 255],
  unit: ["numbers from 0 to 1", (value) => value >= 0 && value <= 1],
  positive: ["numbers above 0", (value) => value > 0],
  counts: ["whole numbers from 0", isWhole],
  ordinal: [null, (value, { levels }) => levels.some((level) => Math.fround(level) === Math.fround(value))],
  categories: ["the codes of its categories", isWhole],
  tokens: ["the codes of its vocabulary", isWhole],
};

const SHOWN = 5, A_DATE = 18_292; // 2020-01-31

export const isOf = (value, field) => ALLOWED[field.kind]?.[1](value, field) ?? true;

// The first few names.
export const some = (names) => names.slice(0, SHOWN).map((name) => (typeof name === "number" ? Number(name.toPrecision(6)) : `'${name}'`)).join(", ") + (names.length > SHOWN ? ` and ${names.length - SHOWN} others` : "");

// What a cell of a column may be.
export function inWords({ kind, form, categories, levels }) {
  if (categories) return `one of ${some(categories)}`;
  if (form.includes("%")) return `a date such as ${dateOf(A_DATE, form)}`;
  if (form in FALSE_OF) return `${form} or ${FALSE_OF[form]}`;
  if (kind === "ordinal") return `one of ${some(levels)}`;
  return ALLOWED[kind]?.[0] ?? "a number";
}
