// The first example in a file, in the data's units, and how many there are.

import { daysOf } from "./dates.js";
import { rowsOf } from "./delimited.js";
import { fieldsOf } from "./forms.js";
import { inWords, isOf, isWhole, some } from "./support.js";

const LUMA = [0.299, 0.587, 0.114];
const MISSING = new Set(["", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaT", "nan", "NaN", "NAN", "null", "NULL", "?"]);
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const TRUTH = { True: 1, true: 1, TRUE: 1, 1: 1, False: 0, false: 0, FALSE: 0, 0: 0 };
const NUMBERS = {
  b1: ["getUint8", 1], u1: ["getUint8", 1], i1: ["getInt8", 1], u2: ["getUint16", 2], i2: ["getInt16", 2],
  u4: ["getUint32", 4], i4: ["getInt32", 4], u8: ["getBigUint64", 8], i8: ["getBigInt64", 8],
  f4: ["getFloat32", 4], f8: ["getFloat64", 8],
};

export async function exampleIn(file, { about, onnx }) {
  const suffix = /\.[^.]*$/.exec(file.name.toLowerCase())?.[0] ?? "";
  const known = about.accept.split(",");
  const elsewhere = about.elsewhere.includes(suffix) ? `; lowerbound explore takes ${suffix}` : "";
  if (!known.includes(suffix)) throw new Error(`expected a file ending in ${known.join(", ")}, got ${file.name}${elsewhere}`);
  try {
    if (suffix === ".csv") return rowIn(await file.text(), about, onnx.data);
    if (suffix === ".npy") return checked(arrayIn(await file.arrayBuffer(), onnx.data.shape), about, onnx);
    return { x: levelsIn(await createImageBitmap(file), about, onnx), count: 1 };
  } catch (error) {
    const told = error instanceof DOMException ? "expected an image that can be decoded, got another file" : error.message;
    throw new Error(`${file.name}: ${told}`);
  }
}

// An image brought to the size, channels and levels of the data's.
function levelsIn(image, { shape: [channels, height, width], range: { low, high } }, onnx) {
  const context = Object.assign(document.createElement("canvas"), { width, height }).getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height), size = height * width;
  const { kind } = onnx.data.fields[0], { type } = onnx.files["encoder.onnx"].inputs.x;
  return Float64Array.from({ length: channels * size }, (_, i) => {
    const [c, pixel] = [Math.floor(i / size), 4 * (i % size)];
    const level = channels === 1 ? LUMA.reduce((sum, weight, k) => sum + weight * data[pixel + k], 0) : data[pixel + c];
    if (kind === "binary") return level >= 127.5 ? high : 0;
    const value = low + (level / 255) * (high - low);
    return type === "uint8" ? Math.round(value) : value;
  });
}

// The first example of an array as NumPy writes it.
function arrayIn(buffer, shape) {
  const view = new DataView(buffer), head = new Uint8Array(buffer, 0, Math.min(10, buffer.byteLength));
  if (String.fromCharCode(...head.subarray(1, 6)) !== "NUMPY") throw new Error("expected an array as NumPy writes it, got another file");
  const wide = head[6] > 1, begin = (wide ? 12 : 10) + (wide ? view.getUint32(8, true) : view.getUint16(8, true));
  const header = new TextDecoder().decode(buffer.slice(10, begin));
  const [, order, type] = /'descr':\s*'([<>|=])(\w+)'/.exec(header) ?? [];
  const sizes = [.../'shape':\s*\(([^)]*)\)/.exec(header)?.[1].matchAll(/\d+/g) ?? []].map(Number);
  const elements = (sizes) => sizes.filter((n) => n !== 1).join(), each = shape.reduce((product, n) => product * n, 1);
  if (!(type in NUMBERS) || header.includes("'fortran_order': True")) throw new Error("expected numbers in C order, got an array of others");
  const isOne = elements(sizes) === elements(shape);
  if (!isOne && (elements(sizes.slice(1)) !== elements(shape) || !sizes[0])) {
    throw new Error(`expected examples of shape ${shape.join(" × ")}, got an array of ${sizes.join(" × ")}`);
  }
  const [read, bytes] = NUMBERS[type];
  if (view.byteLength < begin + each * bytes) throw new Error("expected a whole array, got one that is cut short");
  const x = Float64Array.from({ length: each }, (_, i) => Number(view[read](begin + i * bytes, order !== ">")));
  return { x, count: isOne ? 1 : sizes[0] };
}

// An array's example, if it has values such as the data have.
function checked({ x, count }, about, onnx) {
  const isInteger = /int/.test(onnx.files["encoder.onnx"].inputs.x.type);
  const fields = onnx.data.fields.length === x.length ? onnx.data.fields : Array(x.length).fill(onnx.data.fields[0]);
  x.forEach((value, i) => {
    if (about.missing && Number.isNaN(value)) return;
    if (!Number.isFinite(value) || (isInteger && !isWhole(value)) || !isOf(value, { ...fields[i], top: about.range.high })) {
      throw new Error(`expected ${inWords({ ...fields[i], categories: null, form: "" })}, got ${value}; correct it`);
    }
  });
  return { x, count };
}

// The first row of a table, by the names of its columns, or by their places where they have none.
function rowIn(text, about, data) {
  const rows = rowsOf(text), fields = fieldsOf(data), isNamed = about.named;
  let row = rows.next().value;
  const names = row?.map((cell) => cell.trim());
  const hasNames = isNamed || names?.some((name) => !MISSING.has(name) && !NUMBER.test(name));
  if (hasNames) row = rows.next().value;
  if (!row) throw new Error("expected a row, got none");
  const twice = hasNames && names.find((name, i) => names.indexOf(name) < i);
  if (twice) throw new Error(`expected columns of different names, got ${twice} more than once; rename them`);
  const lacking = isNamed ? fields.filter(({ name }) => !names.includes(name)).map(({ name }) => name) : [];
  if (lacking.length) throw new Error(`expected the column${lacking.length > 1 ? "s" : ""} ${some(lacking)}, got ${some(names)}; add ${lacking.length > 1 ? "them" : "it"}${about.missing ? ", empty if unknown" : ""}`);
  let count = 0;
  for (let each = row; each; each = rows.next().value) {
    count += 1;
    if (each.length !== names.length) throw new Error(`expected ${names.length} cells in every row, got ${each.length} in row ${count.toLocaleString("en")}; correct it`);
  }
  if (!isNamed && row.length !== fields.length) throw new Error(`expected ${fields.length} columns, got ${row.length}`);
  const x = Float64Array.from(fields, (field, i) => {
    const cell = row[isNamed ? names.indexOf(field.name) : i], value = valueOf(cell, field);
    if (Number.isFinite(value) && isOf(value, field)) return value;
    if (about.missing && isMissing(cell, field)) return NaN;
    throw new Error(`expected ${inWords(field)} in the column ${field.name ?? i}, got ${cell || "nothing"}; correct it${about.missing ? " or leave it empty" : ""}`);
  });
  return { x, count };
}

// Words and dates may have spaces around what says that they are missing.
const isMissing = (cell, { categories, form }) => MISSING.has(categories || form.includes("%") ? cell.trim() : cell);

function valueOf(cell, field) {
  const { categories, form } = field, place = categories?.indexOf(cell) ?? -1;
  if (place >= 0) return place;
  if (categories || isMissing(cell, field)) return NaN;
  const trimmed = cell.trim();
  if (form.includes("%")) return daysOf(trimmed, form);
  if (form && form !== "whole") return TRUTH[cell] ?? NaN;
  return NUMBER.test(trimmed) ? Number(trimmed) : NaN;
}
