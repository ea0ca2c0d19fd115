// How the proof of a model's thought passes through a client of another API. A client sends thought back as it got it, and knows one member
// for its proof (Anthropic's `signature`, Gemini's `thoughtSignature`, OpenAI's `encrypted_content`). A proof of the client's own API
// stands there unchanged. A proof of another API travels in an envelope that begins with `ls1.`, and is taken out again in the next turn.
// The thought's text travels with it where the client is not shown the text, or leaves it out of what it sends back. One envelope serves
// all APIs, so a conversation that moves from one to another keeps its proofs.
import type { Part, Proof } from "../../engines/index.ts";

const mark = "ls1.";

type Reasoning = Extract<Part, { kind: "reasoning" }>;

/** What an envelope carries. */
export interface Envelope {
  /** Of thought: what proves it to its origin. */
  proof?: Proof;
  /** Of thought whose text the client is not shown: the text. */
  text?: string;
  /** Of a compaction: the conversation's summary. */
  summary?: string;
}

export const isEnvelope = (text: string): boolean => text.startsWith(mark);

export const writeEnvelope = (envelope: Envelope): string =>
  mark + Buffer.from(JSON.stringify(envelope)).toString("base64url");

/** Reads an envelope that a client sends back. Undefined where it cannot be read. */
export function readEnvelope(text: string): Envelope | undefined {
  try {
    const read = JSON.parse(Buffer.from(text.slice(mark.length), "base64url").toString("utf8")) as unknown;
    return read !== null && typeof read === "object" ? checked(read as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** The text that a client of the API `own` is given for a proof; undefined where the proof says nothing. */
export function proofText(proof: Proof, own: Proof["origin"], text?: string): string | undefined {
  const { origin, signature, encrypted } = proof;
  if (origin === own) return signature ?? encrypted;
  if (signature === undefined && encrypted === undefined) return undefined;
  return writeEnvelope({ proof, ...(text !== undefined && text !== "" && { text }) });
}

/**
 * Thought as a client of the API `own` sent it back. `encrypted`: the member stands for hidden thought, and not for a signature of shown
 * thought. An envelope that cannot be read proves nothing: then the thought is only text.
 */
export function thoughtOf(text: string, proof: unknown, own: Proof["origin"], encrypted = false): Reasoning {
  if (typeof proof !== "string" || proof === "") return { kind: "reasoning", text };
  if (!isEnvelope(proof))
    return { kind: "reasoning", text, proof: { origin: own, [encrypted ? "encrypted" : "signature"]: proof } };
  const read = readEnvelope(proof);
  return {
    kind: "reasoning",
    text: text === "" ? (read?.text ?? "") : text,
    ...(read?.proof && { proof: read.proof }),
  };
}

const origins = new Set<unknown>(["anthropic", "openai", "gemini", "other"]);

/** A client can write anything into an envelope, so each member is kept only where it is what it has to be. */
function checked({ proof, text, summary }: Record<string, unknown>): Envelope {
  const { origin, signature, encrypted, id } = (proof ?? {}) as Record<string, unknown>;
  return {
    ...(origins.has(origin) && {
      proof: {
        origin: origin as Proof["origin"],
        ...(typeof signature === "string" && { signature }),
        ...(typeof encrypted === "string" && { encrypted }),
        ...(typeof id === "string" && { id }),
      },
    }),
    ...(typeof text === "string" && { text }),
    ...(typeof summary === "string" && { summary }),
  };
}
