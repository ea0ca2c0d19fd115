// One envelope for every API: thought that one client was given is proven again when another client sends it.
import { expect, test } from "vitest";
import { isEnvelope, proofText, readEnvelope, thoughtOf, writeEnvelope } from "./proof.ts";

const proof = { origin: "gemini", signature: "sig" } as const;

test("a proof that was told to one client is read from any other", () => {
  const told = proofText(proof, "anthropic", "thought")!;
  expect(isEnvelope(told)).toBe(true);
  expect(readEnvelope(told)).toEqual({ proof, text: "thought" });
  expect(thoughtOf("", writeEnvelope({ proof, text: "thought" }), "anthropic")).toEqual({
    kind: "reasoning",
    text: "thought",
    proof,
  });
  expect(proofText(proof, "gemini")).toBe("sig");
});

test.each(["ls1.!!", "ls1.bnVsbA", `ls1.${Buffer.from('{"proof":{"origin":5},"text":{}}').toString("base64url")}`])(
  "an envelope that says nothing it should proves nothing: %s",
  (told) => expect(thoughtOf("shown", told, "openai")).toEqual({ kind: "reasoning", text: "shown" }),
);
