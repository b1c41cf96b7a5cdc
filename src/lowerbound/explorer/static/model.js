// The model behind the page, in the page: its networks are ONNX files, which onnxruntime runs.

import { formOf } from "./forms.js";
import { exampleIn } from "./reading.js";
import * as ort from "./runtime/onnxruntime.js";

const DRAWS = 100;
const ARRAYS = {
  bool: Uint8Array, uint8: Uint8Array, int8: Int8Array, int16: Int16Array, int32: Int32Array,
  int64: BigInt64Array, float32: Float32Array, float64: Float64Array,
};

export class Model {
  #sessions = {};
  #turn = Promise.resolve();

  static async open() {
    const model = new Model();
    const names = ["model.json", "onnx/model.json", "codes.gz", "labels.gz", "examples.gz"];
    const [about, onnx, codes, labels, examples] = await Promise.all(names.map(bytesOf));
    const parsed = (bytes) => JSON.parse(new TextDecoder().decode(bytes));
    Object.assign(model, { about: parsed(about), onnx: parsed(onnx) });
    model.codes = new Float32Array(codes);
    model.labels = new Int32Array(labels);
    model.form = formOf(model.about, model.onnx);
    model.examples = model.about.kind === "image" ? new Uint8Array(examples) : model.#array("x", examples);
    return model;
  }

  // The decoder's mean at z, as the bytes that a view shows.
  async decode(z, label) {
    const found = await this.#run("decoder", { z, label: [label] }, this.form.needs);
    return this.form.of(found.mean, found);
  }

  async example(number) {
    const size = this.onnx.data.shape.reduce((product, n) => product * n, 1);
    const own = this.examples.subarray(number * size, (number + 1) * size);
    return this.about.kind === "image" ? own : this.form.of(own);
  }

  // A number for each example, higher where the model finds it likelier.
  async scores() {
    return new Float32Array(await bytesOf("scores.gz"));
  }

  // What the model makes of the first example in a file: its code, and what is rebuilt from it.
  async encode(file, label) {
    const { x, count } = await exampleIn(file, this);
    const { mean } = await this.#run("encoder", { x, label: [label] }, ["mean"]);
    finite(mean, file);
    const z = Float32Array.from(mean);
    return { z, label, count, input: this.form.of(x), rebuilt: await this.decode(z, label) };
  }

  // Its bounds.
  async judge(file, label) {
    const score = this.onnx.files["score.onnx"];
    if (!score) return { figures: [], note: "" };
    const { x } = await exampleIn(file, this);
    const noise = Float64Array.from({ length: DRAWS * this.about.latent }, normal);
    const found = await this.#run("score", { x, noise, label: [label] }, Object.keys(score.outputs));
    const names = { elbo: "ELBO", kl: "KL", reconstruction: "reconstruction (−log p(x|z))" };
    const told = Object.keys(names).filter((key) => key in found);
    finite(told.map((key) => found[key][0]), file);
    return {
      figures: told.map((key) => [names[key], `${found[key][0].toFixed(2).replace("-", "−")} nats`]),
      note: `Bounds are on the ${this.onnx.elbo_bounds}.`,
    };
  }

  #array(input, values) {
    const { type } = this.onnx.files["encoder.onnx"].inputs[input];
    return new ARRAYS[type](values);
  }

  // The wanted outputs of a network for one example, one call after the other.
  async #run(name, given, wanted) {
    const { inputs } = this.onnx.files[`${name}.onnx`];
    const session = await kept(this.#sessions, name, () => opened(name));
    const feeds = Object.fromEntries(session.inputNames.map((input) => [input, tensor(inputs[input], given[input])]));
    const answer = this.#turn.then(() => session.run(feeds, wanted));
    this.#turn = answer.catch(() => {});
    return Object.fromEntries(Object.entries(await answer).map(([output, { data }]) => [output, data]));
  }
}

// Refuses an example of which the model makes no numbers.
function finite(values, { name }) {
  if (values.every(Number.isFinite)) return;
  throw new Error(`${name}: expected values such as the model was trained on, got some to which it gives no probability; correct them`);
}

// What `make` promises, made once under a name, or again after it has failed.
function kept(promises, name, make) {
  return (promises[name] ??= make().catch((error) => {
    delete promises[name];
    throw error;
  }));
}

const shared = {};

async function opened(name) {
  const runtime = kept(shared, "runtime", () => bytesOf("runtime/onnxruntime.wasm.gz"));
  const [wasmBinary, network] = await Promise.all([runtime, bytesOf(`onnx/${name}.onnx`)]);
  Object.assign(ort.env.wasm, { numThreads: 1, wasmBinary });
  return ort.InferenceSession.create(network, { executionProviders: ["wasm"] });
}

function tensor({ type, shape }, values) {
  const made = type === "int64" ? BigInt64Array.from(values, BigInt) : ARRAYS[type].from(values);
  return new ort.Tensor(type, made, shape.map((size) => ({ batch: 1, draws: DRAWS })[size] ?? size));
}

// A file of the page, unpacked; some servers let the browser unpack it.
async function bytesOf(path) {
  let answer;
  try {
    answer = await fetch(path);
  } catch {
    throw new Error(`${path} cannot be fetched; see whether the server is there, and load the page again.`);
  }
  if (!answer.ok) throw new Error(`${path} is missing (HTTP ${answer.status}); copy the whole folder to the server.`);
  const packed = await answer.arrayBuffer(), [first, second] = new Uint8Array(packed);
  if (first !== 0x1f || second !== 0x8b) return packed;
  return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

// A draw of N(0, 1).  Source: Box & Muller, A note on the generation of random normal deviates, 1958.
function normal() {
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}
