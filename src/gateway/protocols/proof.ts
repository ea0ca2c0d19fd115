// How the proof of a model's thought passes through a client of another API. A client sends thought back as it got it, and knows one
// member for its proof (Anthropic's `signature`, Gemini's `thoughtSignature`, OpenAI's `encrypted_content`). What the client's own API gave
// stands there as it is. What another API gave travels in an envelope that begins with `ls1.`, and is taken out again in the next turn.
import type { Proof } from "../../engines/index.ts";

const mark = "ls1.";

/** The text that a client of the API `own` is given for a proof; undefined where the proof says nothing. */
export function proofText(proof: Proof, own: Proof["origin"]): string | undefined {
  const { origin, signature, encrypted } = proof;
  if (origin === own) return signature ?? encrypted;
  if (signature === undefined && encrypted === undefined) return undefined;
  return mark + Buffer.from(JSON.stringify(proof)).toString("base64url");
}

/**
 * What a client of the API `own` sent back. `encrypted`: the member stands for hidden thought, and not for a signature of shown thought.
 * Undefined for an empty text, and for an envelope that cannot be read: thought without a proof is only text.
 */
export function proofOf(text: unknown, own: Proof["origin"], encrypted = false): Proof | undefined {
  if (typeof text !== "string" || text === "") return undefined;
  if (!text.startsWith(mark)) return encrypted ? { origin: own, encrypted: text } : { origin: own, signature: text };
  try {
    return checked(JSON.parse(Buffer.from(text.slice(mark.length), "base64url").toString("utf8")));
  } catch {
    return undefined;
  }
}

const origins = new Set<unknown>(["anthropic", "openai", "gemini", "other"]);

/** A client can write anything into an envelope, so each member is kept only where it is what it has to be. */
function checked(read: unknown): Proof | undefined {
  if (read === null || typeof read !== "object") return undefined;
  const { origin, signature, encrypted, id } = read as Record<string, unknown>;
  if (!origins.has(origin)) return undefined;
  return {
    origin: origin as Proof["origin"],
    ...(typeof signature === "string" && { signature }),
    ...(typeof encrypted === "string" && { encrypted }),
    ...(typeof id === "string" && { id }),
  };
}
