// A binary heap by number, smallest first; equal keys leave in the order in which they came.

interface Item<T> {
  key: number;
  order: number;
  value: T;
}

export class Heap<T> {
  private readonly items: Item<T>[] = [];
  private pushed = 0;

  get size(): number {
    return this.items.length;
  }

  peek(): T | undefined {
    return this.items[0]?.value;
  }

  peekKey(): number | undefined {
    return this.items[0]?.key;
  }

  push(key: number, value: T): void {
    const { items } = this;
    const item = { key, order: this.pushed++, value };
    let at = items.length;
    items.push(item);
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (!before(item, items[parent]!)) break;
      items[at] = items[parent]!;
      at = parent;
    }
    items[at] = item;
  }

  pop(): T | undefined {
    const { items } = this;
    const first = items[0];
    const last = items.pop();
    if (first === undefined || last === undefined || items.length === 0) return first?.value;
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && before(items[child + 1]!, items[child]!)) child++;
      if (!before(items[child]!, last)) break;
      items[at] = items[child]!;
      at = child;
    }
    items[at] = last;
    return first.value;
  }

  /** The newest item that `wanted` accepts; linear. */
  last(wanted: (value: T) => boolean): T | undefined {
    let found: Item<T> | undefined;
    for (const item of this.items)
      if (wanted(item.value) && (found === undefined || item.order > found.order)) found = item;
    return found?.value;
  }

  /** Keeps only the items that `wanted` accepts, in n log n. */
  retain(wanted: (value: T, key: number) => boolean): void {
    const kept = this.items.filter((item) => wanted(item.value, item.key)).toSorted((a, b) => (before(a, b) ? -1 : 1));
    // A sorted list is a heap.
    this.items.length = 0;
    for (const item of kept) this.items.push(item);
  }
}

function before<T>(a: Item<T>, b: Item<T>): boolean {
  return a.key < b.key || (a.key === b.key && a.order < b.order);
}
