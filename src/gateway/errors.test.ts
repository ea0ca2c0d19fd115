// Messages that SDKs show say what to do next by themselves: over the wire for what a client meets, and in the source for the rest.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { LineshaftError } from "../errors/index.ts";
import { statuses } from "../errors/statuses.ts";
import { EngineError } from "../engines/index.ts";
import { asLineshaftError, spoken } from "./errors.ts";
import { openAiErrorBody } from "./protocols/openai/errors.ts";
import { apiErrorBody } from "../api/http/respond.ts";
import { hello, testGateway, type TestGateway } from "../api/testing.ts";

let at: TestGateway;
beforeAll(async () => {
  at = await testGateway();
});
afterAll(() => at[Symbol.asyncDispose]());

test("the hint is part of the message on the wire, once", () => {
  const error = new LineshaftError({ status: 400, code: "c", message: "It is wrong", hint: "Correct it." });
  expect(spoken(error)).toBe("It is wrong. Correct it.");
  expect(openAiErrorBody(error).error).toMatchObject({ message: "It is wrong. Correct it.", hint: "Correct it." });
  expect(apiErrorBody(error, "req").error).toMatchObject({ message: "It is wrong. Correct it.", hint: "Correct it." });
  expect(spoken({ message: "Wrong. Correct it. Soon.", hint: "Correct it." })).toBe("Wrong. Correct it. Soon.");
  expect(spoken({ message: "Wrong." })).toBe("Wrong.");
});

test("an engine's failure without a hint gets one; what was not foreseen has one too", () => {
  const engine = asLineshaftError(new EngineError({ status: 502, code: "engine_failed", message: "It broke" }));
  expect(spoken(engine)).toMatch(/^It broke\. Try again/);
  expect(spoken(asLineshaftError(new Error("inside")))).toMatch(/Try again.*report it/);
});

test("the official client's error says what to do", async () => {
  const client = at.client();
  await expect(client.chat.completions.create({ ...hello, model: "scriptd" })).rejects.toThrow(
    /There is no model "scriptd"\. Did you mean "scripted"\?/,
  );
  await expect(at.client({ key: "lsk_wrong" }).models.list()).rejects.toThrow(/authorization: Bearer KEY/);
});

test.each([
  ["GET", "/v1/nothing"],
  ["POST", "/v1/chat/completions", "{"],
  ["POST", "/v1/chat/completions", "{}"],
  ["POST", "/v1/chat/completions", JSON.stringify({ ...hello, cache_salt: "x" })],
  ["POST", "/v1/chat/completions", JSON.stringify({ ...hello, temperature: 9 })],
  ["GET", "/api/nothing"],
  ["GET", "/api/calls/none"],
  ["GET", "/api/calls?limit=0"],
  ["GET", "/api/calls?stauts=failed"],
  ["GET", "/api/calls/%00"],
  ["GET", "/api/bill?agent=none"],
  ["POST", "/api/keys", "{"],
  ["POST", "/api/keys", JSON.stringify({ name: "k", expires_at: "2027" })],
  ["DELETE", "/api/keys/none"],
  ["DELETE", "/api/engines/scripted"],
  ["DELETE", "/api/engines/none"],
  ["DELETE", "/api/budgets/none"],
  ["PUT", "/api/budgets", JSON.stringify({ scope: { kind: "run", id: "none" }, limit_nano: "1" })],
  ["DELETE", "/api/alarms/none"],
])("%s %s %s: what to do is in the message", async (method, path, body?: string) => {
  const { status, body: answer } = await at.request(path, { method, ...(body !== undefined && { body }) });
  expect(status).toBeGreaterThanOrEqual(400);
  expect(status).toBeLessThan(500);
  expect(answer.error.hint).toBeTypeOf("string");
  expect(answer.error.message).toContain(answer.error.hint);
  expect(answer.error.message.split(answer.error.hint)).toHaveLength(2);
});

/** A message that itself says what to do has a sentence that asks for it. */
const asks = /[.:,}] (Correct|Try|Send|Leave|Give|Use|Look|Raise|Wait|Ask|Free) /;
/** No client reads these: it has closed the connection, the run that made the call was stopped, or another attempt has answered. */
const saysItself = new Set(["client_gone", "answered_elsewhere", "reason.code"]);

test("every refusal in the source has a hint, or its message says what to do", () => {
  const src = new URL("../", import.meta.url).pathname;
  const without: string[] = [];
  for (const file of readdirSync(src, { recursive: true, encoding: "utf8" })) {
    if (!file.endsWith(".ts") || file.endsWith(".test.ts") || file.includes("testing")) continue;
    const source = readFileSync(join(src, file), "utf8");
    // An engine's error without a hint gets the usual one when it becomes an answer.
    for (const match of source.matchAll(/new LineshaftError\(\{/g)) {
      const literal = literalAt(source, match.index + match[0].length - 1);
      const code = /code: (?:"([^"]+)"|([\w.]+))/.exec(literal);
      // A code without a status is never an answer.
      if (code?.[1] !== undefined && statuses[code[1]] === undefined) continue;
      if (!/\bhint\b/.test(literal) && !asks.test(literal) && !saysItself.has(code?.[1] ?? code?.[2] ?? ""))
        without.push(`${file}: ${literal.replaceAll(/\s+/g, " ").slice(0, 120)}`);
    }
  }
  expect(without).toEqual([]);
});

function literalAt(source: string, start: number): string {
  let depth = 0;
  for (let place = start; place < source.length; place++) {
    if (source[place] === "{") depth++;
    if (source[place] === "}" && --depth === 0) return source.slice(start, place + 1);
  }
  return source.slice(start);
}
