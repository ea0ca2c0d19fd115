// Changes that fuzzing makes to an input: of its JSON where it has some, else of its bytes. Everything follows from `random`.
type Random = () => number;

const oddities: unknown[] = [
  null,
  true,
  0,
  -1,
  1e308,
  -0.5,
  Number.MAX_SAFE_INTEGER + 2,
  "",
  "x",
  "\u0000",
  "\ud800",
  "data:image/png;base64,AAAA",
  "https://127.0.0.1/x",
  "__proto__",
  [],
  {},
  [[]],
  [null],
  { type: "text" },
  { type: "image_url", image_url: {} },
  { type: "function" },
  { constructor: null, __proto__: null },
];

const keys = [
  "type",
  "role",
  "content",
  "text",
  "name",
  "id",
  "parts",
  "input",
  "tools",
  "index",
  "function",
  "__proto__",
];

/** Bytes near `input`, sometimes crossed with `other`. */
export function mutated(input: Buffer, other: Buffer, random: Random): Buffer {
  const steps = 1 + below(random, 4);
  let bytes = input;
  for (let step = 0; step < steps; step++) {
    const json = random() < 0.75 ? parsed(bytes) : undefined;
    bytes =
      json === undefined
        ? mutatedBytes(bytes, other, random)
        : Buffer.from(JSON.stringify(mutatedJson(json, parsed(other), random)) ?? "null");
  }
  return bytes;
}

const below = (random: Random, bound: number): number => Math.floor(random() * bound);

function parsed(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch {
    return undefined;
  }
}

function mutatedBytes(bytes: Buffer, other: Buffer, random: Random): Buffer {
  const at = below(random, bytes.length + 1);
  const length = below(random, Math.min(32, bytes.length - at) + 1);
  const [head, middle, tail] = [bytes.subarray(0, at), bytes.subarray(at, at + length), bytes.subarray(at + length)];
  switch (below(random, 6)) {
    case 0:
      return Buffer.concat([head, tail]);
    case 1:
      return Buffer.concat([head, middle, middle, tail]);
    case 2:
      return Buffer.concat([head, Buffer.from([below(random, 256)]), tail]);
    case 3:
      return Buffer.concat([head, other.subarray(below(random, other.length + 1)), tail]);
    case 4:
      return Buffer.concat([
        head,
        Buffer.from(["\n", "\r", "\n\n", "\r\n", ":", "data:", '"', "\\", "{", "]", "\ufeff"][below(random, 11)]!),
        tail,
      ]);
    default:
      return head;
  }
}

/** A copy with one place changed. */
function mutatedJson(json: unknown, other: unknown, random: Random): unknown {
  const places: { holder: any; key: string }[] = [];
  const root = { root: structuredClone(json) };
  const visit = (holder: any): void => {
    for (const key of Object.keys(holder)) {
      places.push({ holder, key });
      if (holder[key] !== null && typeof holder[key] === "object") visit(holder[key]);
    }
  };
  visit(root);
  const { holder, key } = places[below(random, places.length)]!;
  switch (below(random, 6)) {
    case 0:
      if (Array.isArray(holder)) holder.splice(Number(key), 1);
      else delete holder[key];
      break;
    case 1:
      holder[key] = structuredClone(places[below(random, places.length)]!.holder);
      break;
    case 2:
      if (Array.isArray(holder)) holder.push(structuredClone(holder[Number(key)]));
      else holder[keys[below(random, keys.length)]!] = holder[key];
      break;
    case 3:
      holder[key] = other ?? null;
      break;
    case 4:
      holder[key] = Array.from({ length: 1 + below(random, 40) }).reduce((inner) => [inner], holder[key]);
      break;
    default:
      holder[key] = structuredClone(oddities[below(random, oddities.length)]);
  }
  return root.root;
}
