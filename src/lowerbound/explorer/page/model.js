// The model behind the page: what it is, its decoder and its encoder, asked for over the network.

export class Model {
  #answers = [];
  #socket = null;

  static async open() {
    const model = new Model();
    model.about = await (await asked("model.json")).json();
    const [codes, labels] = await Promise.all([asked("codes"), asked("labels")]);
    model.codes = new Float32Array(await codes.arrayBuffer());
    model.labels = new Int32Array(await labels.arrayBuffer());
    return model;
  }

  // The decoder's mean at z, as the bytes that a view shows; answers come in the order of the calls.
  async decode(z, label) {
    const socket = await this.#connected();
    const frame = new DataView(new ArrayBuffer(4 + 4 * z.length));
    frame.setInt32(0, label, true);
    z.forEach((value, i) => frame.setFloat32(4 + 4 * i, value, true));
    return new Promise((resolve, reject) => {
      this.#answers.push({ resolve, reject });
      socket.send(frame.buffer);
    });
  }

  #connected() {
    this.#socket ??= new Promise((resolve, reject) => {
      const socket = new WebSocket(new URL("decode", location.href.replace(/^http/, "ws")));
      socket.binaryType = "arraybuffer";
      socket.onopen = () => resolve(socket);
      socket.onmessage = ({ data }) => {
        const { resolve, reject } = this.#answers.shift();
        if (typeof data === "string") reject(new Error(data));
        else resolve(new Uint8Array(data));
      };
      socket.onclose = () => {
        const gone = new Error("The program behind this page has ended; start lowerbound explore again.");
        this.#socket = null;
        reject(gone);
        this.#answers.splice(0).forEach((answer) => answer.reject(gone));
      };
    });
    return this.#socket;
  }

  async example(number) {
    return new Uint8Array(await (await asked(`examples/${number}`)).arrayBuffer());
  }

  // A number for each example, higher where the model finds it likelier.
  async scores() {
    return new Float32Array(await (await asked("scores")).arrayBuffer());
  }

  // What the model makes of the first example in a file: its code, and what is rebuilt from it.
  async encode(file, label) {
    const found = await (await asked(`encode?${new URLSearchParams({ name: file.name, label })}`, file)).json();
    return { ...found, input: bytesOf(found.input), rebuilt: bytesOf(found.rebuilt) };
  }

  // Its bounds, and how strange it is.
  async judge(file, label) {
    return (await asked(`judge?${new URLSearchParams({ name: file.name, label })}`, file)).json();
  }
}

const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

async function asked(path, body) {
  let answer;
  try {
    answer = await fetch(path, body === undefined ? {} : { method: "POST", body });
  } catch {
    throw new Error("The program behind this page does not answer; start lowerbound explore again.");
  }
  if (!answer.ok) throw new Error((await answer.json()).error);
  return answer;
}
