// What `encrypted_content` of a reasoning or compaction item holds. OpenAI's own is opaque and goes back to OpenAI. What another origin
// gave, and what Lineshaft itself must find again in the next turn, travels in an envelope that begins with `ls1.`.
import type { Proof } from "../../../engines/index.ts";

/** What an envelope carries. */
interface Envelope {
  /** Of thought: what proves it to its origin. */
  proof?: Proof;
  /** Of thought that was shown as a summary alone: the thought itself. */
  text?: string;
  /** Of a compaction: the conversation's summary. */
  summary?: string;
}

const mark = "ls1.";

export const writeProof = (envelope: Envelope): string =>
  mark + Buffer.from(JSON.stringify(envelope)).toString("base64url");

/** Reads what a client sends back. Undefined for an envelope that cannot be read. */
export function readProof(text: string): Envelope | undefined {
  if (!text.startsWith(mark)) return { proof: { origin: "openai", encrypted: text } };
  try {
    const read = JSON.parse(Buffer.from(text.slice(mark.length), "base64url").toString("utf8")) as unknown;
    return read !== null && typeof read === "object" ? checked(read as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

const origins = new Set(["anthropic", "openai", "gemini", "other"]);

/** Clients can write anything into it, so each member is kept only where it is what it has to be. */
function checked({ proof, text, summary }: Record<string, unknown>): Envelope {
  const { origin, signature, encrypted, id } = (proof ?? {}) as Record<string, unknown>;
  return {
    ...(origins.has(origin as string) && {
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
