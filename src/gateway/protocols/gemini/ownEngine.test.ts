// Gemini calls at engines that speak Gemini: what is left out, and what is refused because it would change the price or which stored things
// are read. That all else leaves as it came is tested over recorded calls (test/conformance/ownEngines.test.ts).
import { expect, test } from "vitest";
import type { RegisteredEndpoint } from "../../../engines/index.ts";
import type { ModelCall } from "../../modelCall.ts";
import { writeEnvelope } from "../proof.ts";
import { gemini } from "./index.ts";

type Json = Record<string, unknown>;

const google = (allowFields: string[] = []): RegisteredEndpoint =>
  ({
    name: "flash",
    kind: "gemini",
    allowFields,
    facts: { models: [], capabilities: { tokenize: true, kvEvents: false, speaks: ["gemini"] } },
  }) as unknown as RegisteredEndpoint;

function fit(body: object, allowFields: string[] = []): ModelCall {
  const json = { contents: [{ role: "user", parts: [{ text: "hi" }] }], ...body };
  const text = JSON.stringify(json);
  const call = gemini.decode({
    route: gemini.calls[0]!,
    model: "m",
    path: "",
    query: new URLSearchParams(),
    headers: {},
    bytes: Buffer.from(text),
    json,
  });
  return call.fitted(google(allowFields));
}

const sent = (call: ModelCall, model = "gemini-3.8-flash"): Json =>
  call.engineBody({ shape: "gemini", model, outputTokens: 40 });

test("tools that Google bills by their number are left out and said so; the client's own stay", () => {
  const declared = { functionDeclarations: [{ name: "f" }] };
  const call = fit({ tools: [{ ...declared, googleSearch: {} }, { codeExecution: {} }, { computerUse: {} }] });
  expect(sent(call)["tools"]).toEqual([declared, { computerUse: {} }]);
  expect(call.leftOut).toEqual(["tools[0].googleSearch", "tools[1].codeExecution"]);
  expect(sent(fit({ tools: [{ googleSearch: {} }] }))["tools"]).toBeUndefined();
});

test.each<[object, string]>([
  [{ cachedContent: "cachedContents/1" }, "cachedContent"],
  [{ serviceTier: "PRIORITY" }, "serviceTier"],
  [{ generationConfig: { responseModalities: ["TEXT", "IMAGE"] } }, "generationConfig.responseModalities"],
  [
    {
      contents: [
        {
          role: "user",
          parts: [{ fileData: { fileUri: "https://generativelanguage.googleapis.com/v1beta/files/1" } }],
        },
      ],
    },
    "contents[0].parts[0].fileData.fileUri",
  ],
  [
    { contents: [{ role: "user", parts: [{ fileData: { fileUri: "gs://bucket/file" } }] }] },
    "contents[0].parts[0].fileData.fileUri",
  ],
])("refused: %j", (body, param) => {
  expect(() => fit(body)).toThrow(expect.objectContaining({ code: "unsupported_parameter", param }));
});

test("an owner may allow another service tier", () => {
  expect(sent(fit({ serviceTier: "flex" }, ["serviceTier"]))["serviceTier"]).toBe("flex");
});

test("fields that are not known here pass, and several candidates are several answers to be paid for", () => {
  const call = fit({ aFieldOfNextYear: { x: 1 }, generationConfig: { candidateCount: 3, mediaResolution: "LOW" } });
  expect(sent(call)).toMatchObject({
    aFieldOfNextYear: { x: 1 },
    generationConfig: { candidateCount: 3, mediaResolution: "LOW", maxOutputTokens: 40 },
  });
  expect(call.answersPerPrompt).toBe(3);
});

test("a thought's signature goes back to Google alone; a call of another model says that it has none", () => {
  const called = (proof: string) => ({
    contents: [
      { role: "user", parts: [{ text: "hi" }] },
      { role: "model", parts: [{ functionCall: { name: "f", args: {} }, thoughtSignature: proof }] },
      { role: "user", parts: [{ functionResponse: { name: "f", response: {} } }] },
    ],
  });
  const signatureOf = (proof: string, model?: string) =>
    (sent(fit(called(proof)), model)["contents"] as { parts: Json[] }[])[1]!.parts[0]!["thoughtSignature"];
  expect(signatureOf("c2ln")).toBe("c2ln");
  expect(signatureOf(writeEnvelope({ proof: { origin: "gemini", signature: "c2ln" } }))).toBe("c2ln");
  const foreign = writeEnvelope({ proof: { origin: "anthropic", signature: "x" } });
  expect(signatureOf(foreign)).toBe("skip_thought_signature_validator");
  expect(signatureOf(foreign, "gemini-2.5-pro")).toBeUndefined();
});

test("media are brought in, and no address is left for Google to fetch", () => {
  const part = { fileData: { fileUri: "https://x/y.png", mimeType: "image/png" } };
  const call = fit({ contents: [{ role: "user", parts: [part] }] });
  expect(call.media.map(({ url }) => url)).toEqual(["https://x/y.png"]);
  const brought = call.withMedia(call.media, new Map([["https://x/y.png", "data:image/png;base64,QQ=="]]));
  expect(sent(brought.fitted(google()))["contents"]).toEqual([
    { role: "user", parts: [{ inlineData: { mimeType: "image/png", data: "QQ==" } }] },
  ]);
});
