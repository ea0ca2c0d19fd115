// The reader of forms under random inputs, seeded. It reads as the bytes come, so it has a test of its own beside the targets of
// fuzz.test.ts: however the bytes are cut it ends, with the file and the fields or with an error that was made for a person.
import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import fc from "fast-check";
import { expect, test } from "vitest";
import { readForm } from "../../src/api/http/form.ts";
import { LineshaftError } from "../../src/errors/index.ts";
import { mutated } from "./mutate.ts";
import { runs } from "../setup/runs.ts";

const type = "multipart/form-data; boundary=b";
const field = (name: string, value: string) =>
  `--b\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
const fileOf = (name: string, value: string, more = "") =>
  `--b\r\ncontent-disposition: form-data; name="file"; filename="${name}"\r\n${more}\r\n${value}\r\n`;
const seeds = [
  `${field("purpose", "batch")}${fileOf("a.jsonl", '{"custom_id":"a"}\n{}')}--b--\r\n`,
  `${fileOf("\u00e9\u20ac.jsonl", "x\r\n--bx\r\n-", "content-type: application/jsonl\r\n")}${field("purpose", "batch")}--b--`,
  `preamble\r\n${fileOf("a", "")}--b--\r\nepilogue`,
  `--b\r\ncontent-disposition: form-data; name="file"; filename*=UTF-8''%e2%82%ac\r\ncontent-transfer-encoding: base64\r\n\r\neA==\r\n--b--`,
].map((text) => Buffer.from(text));

interface Read {
  fields: Record<string, string>;
  file: { name: string; bytes: string } | undefined;
}

/** A request whose body comes in these pieces, one in each turn of the event loop. */
function requestOf(pieces: readonly Buffer[], contentType: string): IncomingMessage {
  const body = Readable.from(pieces);
  const more = { headers: { "content-type": contentType }, complete: false };
  const request = Object.assign(body, more);
  body.once("end", () => (request.complete = true));
  return request as unknown as IncomingMessage;
}

/** What the form says, or the code of its refusal. Rejects with anything that was not made for a person. */
async function read(pieces: readonly Buffer[], contentType = type): Promise<Read | string> {
  let file: Read["file"];
  try {
    const fields = await readForm(requestOf(pieces, contentType), async (name, bytes) => {
      const parts: Buffer[] = [];
      for await (const part of bytes) parts.push(part);
      file = { name, bytes: Buffer.concat(parts).toString("base64") };
    });
    return { fields: Object.fromEntries(fields), file };
  } catch (error) {
    if (error instanceof LineshaftError) return error.code;
    throw error;
  }
}

function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const at = [...new Set(places.map((place) => Math.floor(place * bytes.length)))].toSorted((a, b) => a - b);
  return [0, ...at].map((from, index) => bytes.subarray(from, at[index] ?? bytes.length));
}

const fraction = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const places = fc.array(fraction, { maxLength: 12 });

test.each(seeds.map((seed) => [seed.toString("utf8").slice(0, 60), seed]))("takes its seed: %j", async (_, seed) => {
  const whole = await read([seed]);
  expect(whole).toHaveProperty("file");
  expect(await read([...seed].map((byte) => Buffer.from([byte])))).toEqual(whole);
});

test("random changes of a form, cut anywhere, end in one form or in a refusal", async () => {
  const place = fc.nat({ max: seeds.length - 1 });
  await fc.assert(
    fc.asyncProperty(place, place, fc.infiniteStream(fraction), places, async (one, two, stream, at) => {
      const input = mutated(seeds[one]!, seeds[two]!, () => stream.next().value as number);
      const whole = await read([input]);
      const pieces = await read(cut(input, at).filter(({ length }) => length > 0));
      expect(pieces).toEqual(whole);
    }),
    { numRuns: runs(300), seed: 7 },
  );
});

test("any bytes, and any type that says it is a form, end in a form or in a refusal", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 400 }),
      fc.string({ maxLength: 80 }),
      places,
      async (bytes, after, at) => {
        const input = Buffer.from(bytes);
        await read([input]);
        await read(cut(seeds[0]!, at), `multipart/form-data${after}`);
      },
    ),
    { numRuns: runs(300), seed: 8 },
  );
});
