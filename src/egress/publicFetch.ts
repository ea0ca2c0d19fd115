// Fetching what a caller named: one GET to an address that is public. Loopback and private networks, where an owner's own endpoints may
// be, are refused here, because a caller must not reach them through this process. The address that is connected to is judged.
import { limits } from "./limits.ts";
import { send } from "./egress.ts";
import { EgressError } from "./errors.ts";

const unavailableCode = "resource_unavailable";

interface PublicFetch {
  /** The answer may have so many bytes. */
  mostBytes: number;
  /** Media types that are asked for. */
  accept: readonly string[];
  /** The host was configured: it may be on a private network. */
  mayBePrivate: boolean;
  signal: AbortSignal;
}

/**
 * The bytes at the address, and their media type in lower case. Throws EgressError `resource_unavailable`, whose sentence says what was
 * wrong and nothing of what was answered, and what `signal` aborts with.
 */
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
    if (options.signal.aborted || (error instanceof EgressError && error.code === unavailableCode)) throw error;
    if (signal.aborted) throw unavailable(`it took longer than ${limits.publicFetchMs / 1000} s.`);
    // A refused address and one that does not answer get the same sentence: the difference would map a private network.
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
  return new EgressError({ code: unavailableCode, message, cause });
}
