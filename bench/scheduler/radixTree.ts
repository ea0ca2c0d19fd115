// The plain structure to compare with: a compressed radix tree over block hashes, nodes and Maps as a router written in
// JavaScript would have them. Per node: its run of blocks, its children by first block, its holders.

export class RadixNode {
  /** Block hashes, cut to the 53 bits that a JavaScript number holds. */
  blocks: number[];
  readonly children = new Map<number, RadixNode>();
  holders: Set<number>;

  constructor(blocks: number[], holders: Set<number>) {
    this.blocks = blocks;
    this.holders = holders;
  }
}

export class RadixTree {
  private readonly root = new RadixNode([], new Set());
  nodes = 0;

  /** `holder` has the first `count` blocks of the prompt. */
  insert(hashes: Uint32Array, count: number, holder: number): void {
    let node = this.root;
    let at = 0;
    while (at < count) {
      const child = node.children.get(keyOf(hashes, at));
      if (child === undefined) {
        const rest: number[] = [];
        for (let i = at; i < count; i++) rest.push(keyOf(hashes, i));
        node.children.set(rest[0]!, new RadixNode(rest, new Set([holder])));
        this.nodes++;
        return;
      }
      const shared = sharedLength(child.blocks, hashes, at, count);
      if (shared < child.blocks.length) this.split(child, shared);
      child.holders.add(holder);
      node = child;
      at += shared;
    }
  }

  /** Longest leading match of every holder that has one. */
  match(hashes: Uint32Array, count: number): Map<number, number> {
    const found = new Map<number, number>();
    let node = this.root;
    let at = 0;
    while (at < count) {
      const child = node.children.get(keyOf(hashes, at));
      if (child === undefined) break;
      const shared = sharedLength(child.blocks, hashes, at, count);
      for (const holder of child.holders) if ((found.get(holder) ?? 0) === at) found.set(holder, at + shared);
      if (shared < child.blocks.length) break;
      node = child;
      at += shared;
    }
    return found;
  }

  private split(node: RadixNode, at: number): void {
    const tail = new RadixNode(node.blocks.slice(at), new Set(node.holders));
    for (const [key, child] of node.children) tail.children.set(key, child);
    node.children.clear();
    node.children.set(tail.blocks[0]!, tail);
    node.blocks = node.blocks.slice(0, at);
    this.nodes++;
  }
}

function keyOf(hashes: Uint32Array, at: number): number {
  return hashes[at * 2]! + (hashes[at * 2 + 1]! & 0x1f_ffff) * 0x1_0000_0000;
}

function sharedLength(blocks: number[], hashes: Uint32Array, at: number, count: number): number {
  const most = Math.min(blocks.length, count - at);
  let shared = 0;
  while (shared < most && blocks[shared] === keyOf(hashes, at + shared)) shared++;
  return shared;
}
