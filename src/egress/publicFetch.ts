// Fetching what a caller named: one GET to an address that anybody could reach. Everything that engines may have and a stranger must
// not reach through us (loopback, private networks) is refused here, on the address that is connected to.
import { limits } from "./limits.ts";
import { send } from "./egress.ts";
import { EgressError } from "./errors.ts";

export interface PublicFetch {
  mostBytes: number;
  /** Media types that are asked for. */
  accept: readonly string[];
  /** The host was configured: it may be on a private network. */
  mayBePrivate: boolean;
  signal: AbortSignal;
}

/** Throws EgressError with a sentence that says what was wrong, and nothing of what was answered. */
export async function fetchPublic(url: string, options: PublicFetch): Promise<{ bytes: Buffer; type: string }> {
  const { mostBytes, mayBePrivate, accept } = options;
  const { origin, pathname, search } = new URL(url);
  const signal = AbortSignal.any([options.signal, AbortSignal.timeout(limits.publicFetchMs)]);
  try {
    const response = await send({
      method: "GET",
      // Without a fragment, and in the form that is judged.
      url: origin + pathname + search,
      headers: ["accept", accept.join(", "), "accept-encoding", "identity"],
      reach: mayBePrivate ? "configured" : "public",
      firstByteMs: limits.publicFetchMs,
      silenceMs: limits.publicFetchMs,
      signal,
    });
    const length = Number(response.headers["content-length"] ?? 0);
    const why = refusalOf(response.status) ?? (length > mostBytes ? tooLarge(mostBytes) : undefined);
    if (why !== undefined) {
      response.body.abort();
      throw unavailable(why);
    }
    const pieces: Uint8Array[] = [];
    let bytes = 0;
    for await (const piece of response.body) {
      bytes += piece.length;
      // Leaving the loop closes the connection.
      if (bytes > mostBytes) throw unavailable(tooLarge(mostBytes));
      pieces.push(piece);
    }
    const said = response.headers["content-type"];
    const type = typeof said === "string" ? said.split(";")[0]!.trim().toLowerCase() : "";
    return { bytes: Buffer.concat(pieces), type };
  } catch (error) {
    if (options.signal.aborted || (error instanceof EgressError && error.code === "media_unavailable")) throw error;
    if (signal.aborted) throw unavailable(`it took longer than ${limits.publicFetchMs / 1000} s.`);
    // Of an address that is refused and one that does not answer the same is said: the difference would map a network.
    throw unavailable("it cannot be reached, or is not at a public address.", error);
  }
}

function refusalOf(status: number): string | undefined {
  if (status === 200) return undefined;
  if (status >= 300 && status < 400) return "it answers with a redirect, which is not followed.";
  return `it answers with status ${status}.`;
}

const tooLarge = (mostBytes: number): string => `it is larger than the ${mostBytes} bytes that are left for it.`;

function unavailable(message: string, cause?: unknown): EgressError {
  return new EgressError({ code: "media_unavailable", message, cause });
}
