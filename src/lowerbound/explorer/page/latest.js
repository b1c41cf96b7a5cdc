// Calls of a slow function of which only the latest matters: one runs, the newest waits, others go.
export class Latest {
  isIdle = true;
  #wanted = null;

  constructor(call, show, fail) {
    Object.assign(this, { call, show, fail, shown: 0 });
  }

  async ask(...wanted) {
    this.#wanted = wanted;
    if (!this.isIdle) return;
    this.isIdle = false;
    while (this.#wanted) {
      const now = this.#wanted;
      this.#wanted = null;
      try {
        this.show(await this.call(...now), ...now);
        this.shown += 1;
      } catch (error) {
        this.fail(error, ...now);
      }
    }
    this.isIdle = true;
  }
}
