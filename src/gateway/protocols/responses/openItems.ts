// Items of an answer that are not complete yet, and the parts that they become.
import type { Proof } from "../../../engines/index.ts";
import { writeEnvelope } from "../proof.ts";

type Json = Record<string, unknown>;

export interface OpenText {
  kind: "text" | "refusal" | "reasoning";
  index: number;
  item: Json & { id: string; content: Json[] };
  text: string;
  proof: Proof | undefined;
  /** The client has been told of the part that its text belongs to. */
  begun: boolean;
}

export interface OpenCall {
  index: number;
  id: string;
  callId: string;
  name: string;
  arguments: string;
  /** The client has been told of it. */
  begun: boolean;
}

/** A part of a message or of thought, with its text. */
export function partOf(kind: OpenText["kind"], text: string): Json {
  if (kind === "refusal") return { type: "refusal", refusal: text };
  if (kind === "reasoning") return { type: "reasoning_text", text };
  return { type: "output_text", text, annotations: [], logprobs: [] };
}

/** OpenAI's own goes back as it came; everything else in an envelope that also keeps thought which clients do not send back. */
export function encryptedOf(text: string, proof: Proof | undefined): string {
  if (proof?.origin === "openai" && proof.encrypted !== undefined) return proof.encrypted;
  return writeEnvelope({ ...(proof && { proof }), text });
}
