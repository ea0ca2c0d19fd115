// What every protocol for calls without output promises (embeddings, rerank), as one suite that each one's test calls with bodies of its
// own.
import { describe, expect, test } from "vitest";
import { LineshaftError } from "../../errors/index.ts";
import type { RegisteredEndpoint } from "../../engines/index.ts";
import type { ModelCall } from "../modelCall.ts";
import { routeOf } from "./registry.ts";
import { decodeAs } from "./testing.ts";
import type { Protocol } from "./types.ts";

type Json = Record<string, unknown>;

interface InputCase {
  protocol: Protocol;
  minimal: Json;
  /** A body with every field that the protocol knows, and what it must be decoded to. */
  maximal: Json;
  decoded: Partial<ModelCall>;
  /** What an engine whose model is called `theirs` is sent for the maximal body. */
  sent: Json;
  /** Bodies that are refused, each with the field that the refusal names. */
  refused: [body: Json, param: string][];
}

const endpoint = (allowFields: string[] = []) =>
  ({ name: "m", kind: "openai", allowFields }) as unknown as RegisteredEndpoint;

export function inputSuite(of: InputCase): void {
  const { protocol } = of;
  const decode = (body: Json) => decodeAs(protocol, body);

  describe(`${protocol.name}, a protocol of calls without output`, () => {
    test("its routes lead to it", () => {
      for (const { method, path } of protocol.calls) expect(routeOf(method, path)?.protocol).toBe(protocol);
    });

    test("a full body is read as what it asks", () => {
      expect(decode(of.maximal)).toMatchObject(of.decoded);
    });

    test("it writes nothing, and so never streams and asks for no output", () => {
      for (const body of [of.minimal, of.maximal]) {
        const call = decode(body);
        expect(call).toMatchObject({ stream: false, answersPerPrompt: 1, tools: [], media: [], hasMedia: false });
        expect(call.kind).not.toBe("generate");
        expect(call.outputLimit()?.tokens).toBe(0);
      }
    });

    test("its input has no more tokens than it is bound by, and one token for each of its bytes is within the bound", () => {
      const call = decode(of.maximal);
      expect(call.promptTokensMost).toBeGreaterThanOrEqual(call.promptCharacters / 4);
      expect(call.promptCharacters).toBeGreaterThan(0);
    });

    test("an engine is sent its own model's name and the fields of the API", () => {
      const call = decode(of.maximal).fitted(endpoint());
      expect(call.engineBody({ shape: call.shape, model: "theirs" })).toEqual(of.sent);
    });

    test("a field that no engine is sent is refused by name, unless the engine's owner allows it", () => {
      const call = decode({ ...of.minimal, truncate: "END" });
      expect(() => call.fitted(endpoint())).toThrow(
        expect.objectContaining({ code: "unsupported_parameter", param: "truncate" }),
      );
      expect(call.fitted(endpoint(["truncate"])).engineBody({ shape: call.shape, model: "theirs" })).toMatchObject({
        truncate: "END",
      });
      const hostile = decode({ ...of.minimal, lora_path: "/x" });
      expect(() => hostile.fitted(endpoint(["lora_path"]))).toThrow(LineshaftError);
    });

    test("a field that is null asks for nothing", () => {
      const call = decode({ ...of.minimal, whatever: null }).fitted(endpoint());
      expect(Object.keys(call.engineBody({ shape: call.shape, model: "theirs" }))).not.toContain("whatever");
    });

    test.each(of.refused)("%j is refused by the name of the field", (body, param) => {
      expect(() => decode(body)).toThrow(expect.objectContaining({ status: 400, param }));
    });

    test("a failure has OpenAI's shape", () => {
      const failure = new LineshaftError({ code: "invalid_value", message: "Wrong. Correct it.", param: "input" });
      expect(JSON.parse(protocol.error(failure, "body") as string)).toMatchObject({
        error: { code: "invalid_value", param: "input", message: expect.stringContaining("Wrong.") },
      });
    });
  });
}
