// Work of the main thread, counted instead of timed: how much text it parses for a hostile input, how many values that text has, and
// how many schemas it compiles. `npm run bench:stalls` measures the time; a bound here is ten times what an input of its size needs.
import { Ajv } from "ajv";
import { afterEach, beforeAll, afterAll, expect, test, vi } from "vitest";
import { limits } from "../../src/gateway/limits.ts";
import { testGateway, type TestGateway } from "../../src/api/testing.ts";
import { corpus } from "./corpus/index.ts";

let at: TestGateway;
beforeAll(async () => {
  at = await testGateway();
});
afterAll(() => at[Symbol.asyncDispose]());
afterEach(() => vi.restoreAllMocks());

/** Counts what JSON.parse is given in this thread, and what ajv compiles in it, of whichever draft. */
function watch() {
  const work = { characters: 0, values: 0, compiled: 0 };
  const parse = JSON.parse;
  vi.spyOn(JSON, "parse").mockImplementation((text: string, reviver?: Parameters<typeof JSON.parse>[1]) => {
    work.characters += text.length;
    let quoted = false;
    for (let place = 0; place < text.length; place++) {
      const letter = text.charCodeAt(place);
      if (quoted && letter === 0x5c) place++;
      else if (letter === 0x22) quoted = !quoted;
      else if (!quoted && (letter === 0x2c || letter === 0x5b || letter === 0x7b)) work.values++;
    }
    return parse(text, reviver) as unknown;
  });
  vi.spyOn(Object.getPrototypeOf(Ajv.prototype) as Ajv, "compile").mockImplementation(() => {
    work.compiled++;
    throw new Error("No schema is compiled on the main thread.");
  });
  return work;
}

const calls = corpus.filter(({ path }) => path.startsWith("/v1/"));

test.each(calls)("$name", async ({ engine, body, path, method, headers }) => {
  at.engine.usual = engine?.() ?? {};
  const sent = body!();
  const work = watch();
  const answer = await fetch(at.address + path, {
    method,
    headers: { authorization: `Bearer ${at.key}`, "content-type": "application/json", ...headers },
    body: sent as BodyInit,
  });
  await answer.text();
  at.engine.usual = {};
  expect(work.compiled).toBe(0);
  // The scripted engine parses the request too, and its answer of up to 16 MB is parsed by the gateway.
  expect(work.characters).toBeLessThanOrEqual(10 * (sent.length + 1_000_000) + 16 * 2 ** 20);
  expect(work.values).toBeLessThanOrEqual(10 * (limits.bodyValues + 1_000) + 2 * limits.bodyNumbers);
});
