// Weights from Hugging Face, or a mirror of it: one GET that follows the redirect to the file's store, continued from what an earlier try
// left. The host states the file's SHA-256 (`x-linked-etag`), which is checked where the catalogue pins none. Failures name the host.
import { createHash } from "node:crypto";
import { rm, stat } from "node:fs/promises";
import { EgressError, reasonOf, send, type EgressResponse } from "../../egress/index.ts";
import { hashInto, writeHashed } from "../digest.ts";
import { firstByteMs, redirectsMax, silenceMs } from "../limits.ts";
import { ProgressMeter } from "../progress.ts";
import type { FetchSource, ModelSource } from "../types.ts";

type HuggingFaceSource = Extract<ModelSource, { kind: "huggingface" }>;

export const fetchFromHuggingFace: FetchSource<HuggingFaceSource> = async (source, target) => {
  const { partPath, signal } = target;
  const meter = new ProgressMeter(`Downloading ${source.file}`, target.onProgress);
  const had = await sizeOf(partPath);
  const { response, linkedDigest } = await get(addressOf(source), had, signal);
  // 206: the host continues; 200: it sends the whole file; 416: the local part is longer than the file.
  if (response.status === 416) {
    response.body.abort();
    await rm(partPath, { force: true });
    return fetchFromHuggingFace(source, target);
  }
  if (response.status !== 200 && response.status !== 206) {
    response.body.abort();
    throw new Error(`Hugging Face answered ${response.status} for ${source.repository}/${source.file}`);
  }
  const continued = response.status === 206;
  const hash = createHash("sha256");
  if (continued) await hashInto(hash, partPath, signal);
  const length = Number(header(response, "content-length") ?? Number.NaN);
  meter.begin(Number.isNaN(length) ? undefined : length + (continued ? had : 0), continued ? had : 0);
  await writeHashed(partPath, continued ? "a" : "w", response.body, hash, (bytes) => meter.add(bytes));
  const digest = hash.digest("hex");
  const expected = target.sha256 ?? linkedDigest;
  if (expected && digest !== expected) {
    await rm(partPath, { force: true });
    throw new Error(`what arrived has SHA-256 ${digest.slice(0, 12)}…, not ${expected.slice(0, 12)}…`);
  }
  return digest;
};

function addressOf({ repository, revision, file }: HuggingFaceSource): string {
  const host = (process.env["HF_ENDPOINT"] || "https://huggingface.co").replace(/\/+$/, "");
  return `${host}/${repository}/resolve/${revision}/${file}`;
}

/** Follows redirects, which the egress does not, and keeps the digest that the first answer states. */
async function get(
  first: string,
  had: number,
  signal: AbortSignal | undefined,
): Promise<{ response: EgressResponse; linkedDigest: string | undefined }> {
  let url = first;
  let linkedDigest: string | undefined;
  for (let hop = 0; hop <= redirectsMax; hop++) {
    const response = await send({
      method: "GET",
      url,
      headers: [
        "accept-encoding",
        "identity",
        "user-agent",
        "lineshaft",
        ...(had > 0 ? ["range", `bytes=${had}-`] : []),
      ],
      signal,
      firstByteMs,
      silenceMs,
      translate: (error) => unreachable(url, error),
    });
    linkedDigest ??= /^"?([0-9a-f]{64})"?$/.exec(header(response, "x-linked-etag") ?? "")?.[1];
    const location = header(response, "location");
    if (response.status < 300 || response.status >= 400 || !location) return { response, linkedDigest };
    response.body.abort();
    url = new URL(location, url).toString();
  }
  throw new Error(`Hugging Face redirected more than ${redirectsMax} times`);
}

/** A connection failure with the name of its host: Hugging Face, its mirror, or the store that it redirected to. */
function unreachable(url: string, error: EgressError): Error {
  const { host } = new URL(url);
  const { cause } = error;
  switch (error.code) {
    case "endpoint_unreachable":
      return new Error(`${host} cannot be reached: ${cause instanceof Error ? reasonOf(cause) : error.message}`, {
        cause,
      });
    case "endpoint_timeout":
      return new Error(`${host} was silent for too long`, { cause });
    case "address_refused":
      return new Error(`${host} is not connected to: ${error.message}`, { cause });
    default:
      return error;
  }
}

function header(response: EgressResponse, name: string): string | undefined {
  const value = response.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}
