// The discrete-event core: a virtual clock and a 4-ary heap of future events held in typed arrays.
// An event is (time, kind, target, payload): three small integers, no closure and no object, so that a million events
// cost no garbage. Ties fire in the order in which they were scheduled, which makes a run a pure function of its input.
// Cancelling is by version at the owner: an owner that changed its mind ignores the old event (see engine.ts).

const ARITY = 4;

/** What `pop` has just taken out; read the fields before the next `pop`. */
export class EventQueue {
  /** Time of the event last popped, in ms; also the current virtual time. */
  nowMs = 0;
  kind = 0;
  target = 0;
  payload = 0;

  #time = new Float64Array(1024);
  #order = new Float64Array(1024);
  #kind = new Uint8Array(1024);
  #target = new Int32Array(1024);
  #payload = new Int32Array(1024);
  #size = 0;
  #scheduled = 0;

  get size(): number {
    return this.#size;
  }

  /** Events ever scheduled: the measure of a run's work. */
  get scheduled(): number {
    return this.#scheduled;
  }

  /** Time of the next event, or Infinity. */
  get nextMs(): number {
    return this.#size > 0 ? this.#time[0]! : Infinity;
  }

  /**
   * Schedules an event. An event in the past is an error of the caller: virtual time never runs backwards.
   * @throws RangeError when `atMs` lies before the current time or is not a number.
   */
  schedule(atMs: number, kind: number, target: number, payload = 0): void {
    if (!(atMs >= this.nowMs)) throw new RangeError(`event at ${atMs} ms lies before the clock at ${this.nowMs} ms`);
    if (this.#size === this.#time.length) this.#grow();
    const order = this.#scheduled++;
    const time = this.#time;
    const orders = this.#order;
    let i = this.#size++;
    while (i > 0) {
      const parent = (i - 1) >> 2;
      const parentTime = time[parent]!;
      if (parentTime < atMs || parentTime === atMs) break; // equal: the parent is older, it stays above
      this.#move(parent, i);
      i = parent;
    }
    time[i] = atMs;
    orders[i] = order;
    this.#kind[i] = kind;
    this.#target[i] = target;
    this.#payload[i] = payload;
  }

  /** Takes the earliest event out into this object's fields and moves the clock; false when none is left. */
  pop(): boolean {
    if (this.#size === 0) return false;
    const time = this.#time;
    const orders = this.#order;
    this.nowMs = time[0]!;
    this.kind = this.#kind[0]!;
    this.target = this.#target[0]!;
    this.payload = this.#payload[0]!;
    const last = --this.#size;
    if (last === 0) return true;
    const lastTime = time[last]!;
    const lastOrder = orders[last]!;
    let i = 0;
    for (;;) {
      const first = i * ARITY + 1;
      if (first >= last) break;
      const end = Math.min(first + ARITY, last);
      let best = first;
      for (let child = first + 1; child < end; child++) {
        const delta = time[child]! - time[best]!;
        if (delta < 0 || (delta === 0 && orders[child]! < orders[best]!)) best = child;
      }
      const bestTime = time[best]!;
      if (bestTime > lastTime || (bestTime === lastTime && orders[best]! > lastOrder)) break;
      this.#move(best, i);
      i = best;
    }
    if (i !== last) this.#move(last, i);
    return true;
  }

  #move(from: number, to: number): void {
    this.#time[to] = this.#time[from]!;
    this.#order[to] = this.#order[from]!;
    this.#kind[to] = this.#kind[from]!;
    this.#target[to] = this.#target[from]!;
    this.#payload[to] = this.#payload[from]!;
  }

  #grow(): void {
    const size = this.#time.length * 2;
    const grown = <T extends { set(source: T): void }>(into: T, from: T): T => {
      into.set(from);
      return into;
    };
    this.#time = grown(new Float64Array(size), this.#time);
    this.#order = grown(new Float64Array(size), this.#order);
    this.#kind = grown(new Uint8Array(size), this.#kind);
    this.#target = grown(new Int32Array(size), this.#target);
    this.#payload = grown(new Int32Array(size), this.#payload);
  }
}
