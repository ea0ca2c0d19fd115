// How the proof of a model's thought passes through a client of another API. A client sends thought back as it got it, and knows one
// member for its proof (Anthropic's `signature`, Gemini's `thoughtSignature`, OpenAI's `encrypted_content`). What the client's own API gave
// stands there as it is. What another API gave travels in an envelope that begins with `ls1.`, and is taken out again in the next turn.
// The thought's text travels with it where the client is not shown the text, or leaves it out of what it sends back.
import type { Part, Proof } from "../../engines/index.ts";

const mark = "ls1.";

type Reasoning = Extract<Part, { kind: "reasoning" }>;

/** The text that a client of the API `own` is given for a proof; undefined where the proof says nothing. */
export function proofText(proof: Proof, own: Proof["origin"], text?: string): string | undefined {
  const { origin, signature, encrypted } = proof;
  if (origin === own) return signature ?? encrypted;
  if (signature === undefined && encrypted === undefined) return undefined;
  const envelope = { ...proof, ...(text !== undefined && text !== "" && { text }) };
  return mark + Buffer.from(JSON.stringify(envelope)).toString("base64url");
}

/**
 * Thought as a client of the API `own` sent it back. `encrypted`: the member stands for hidden thought, and not for a signature of shown
 * thought. An envelope that cannot be read proves nothing: then the thought is only text.
 */
export function thoughtOf(text: string, proof: unknown, own: Proof["origin"], encrypted = false): Reasoning {
  if (typeof proof !== "string" || proof === "") return { kind: "reasoning", text };
  if (!proof.startsWith(mark))
    return { kind: "reasoning", text, proof: { origin: own, [encrypted ? "encrypted" : "signature"]: proof } };
  try {
    const read = checked(JSON.parse(Buffer.from(proof.slice(mark.length), "base64url").toString("utf8")));
    return {
      kind: "reasoning",
      text: text === "" ? (read.text ?? "") : text,
      ...(read.proof && { proof: read.proof }),
    };
  } catch {
    return { kind: "reasoning", text };
  }
}

const origins = new Set<unknown>(["anthropic", "openai", "gemini", "other"]);

/** A client can write anything into an envelope, so each member is kept only where it is what it has to be. */
function checked(read: unknown): { proof?: Proof; text?: string } {
  if (read === null || typeof read !== "object") return {};
  const { origin, signature, encrypted, id, text } = read as Record<string, unknown>;
  return {
    ...(typeof text === "string" && { text }),
    ...(origins.has(origin) && {
      proof: {
        origin: origin as Proof["origin"],
        ...(typeof signature === "string" && { signature }),
        ...(typeof encrypted === "string" && { encrypted }),
        ...(typeof id === "string" && { id }),
      },
    }),
  };
}
