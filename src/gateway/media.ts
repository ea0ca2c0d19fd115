// Media of a call are fetched before any engine sees the call. An engine would fetch an address from its own network, where files of its
// disk and its cloud's metadata can be reached. Therefore Lineshaft fetches it, through egress and from public addresses alone, and the
// engine is sent `data:`. This is done once for a call, before its first attempt; retries and failover send what was fetched.
import type { Held } from "../bounded/index.ts";
import { LineshaftError } from "../errors/index.ts";
import { EgressError, fetchPublic } from "../egress/index.ts";
import type { MediaKind } from "../engines/index.ts";
import { limits } from "./limits.ts";
import type { Medium, ModelCall } from "./modelCall.ts";
import { invalidAt } from "./refusals.ts";

/** Media types by kind. Types that a browser or an engine would run (SVG, HTML) are not among them. */
const types: Record<MediaKind, readonly string[]> = {
  image: ["image/png", "image/jpeg", "image/gif", "image/webp"],
  audio: [
    "audio/wav",
    "audio/x-wav",
    "audio/mpeg",
    "audio/mp3",
    "audio/mp4",
    "audio/aac",
    "audio/ogg",
    "audio/flac",
    "audio/webm",
  ],
  video: ["video/mp4", "video/webm", "video/mpeg", "video/quicktime"],
  file: ["application/pdf", "text/plain"],
};

/** How the first bytes of a type must look, where they say what it is. */
const signatures: Record<string, (first: Buffer) => boolean> = {
  "image/png": (first) => first.subarray(0, 8).equals(Buffer.from("89504e470d0a1a0a", "hex")),
  "image/jpeg": (first) => first.subarray(0, 3).equals(Buffer.from("ffd8ff", "hex")),
  "image/gif": (first) => /^GIF8[79]a/.test(first.toString("latin1")),
  "image/webp": (first) => first.toString("latin1", 0, 4) === "RIFF" && first.toString("latin1", 8, 12) === "WEBP",
  "application/pdf": (first) => first.toString("latin1", 0, 5) === "%PDF-",
};

export interface MediaOptions {
  /** Hosts (`name` or `name:port`) that may be private: an owner's own store of pictures. */
  privateHosts?: readonly string[] | undefined;
}

export class Media {
  readonly #privateHosts: ReadonlySet<string>;
  /** Fetches under way by key. */
  readonly #fetching = new Map<string, number>();

  constructor({ privateHosts = [] }: MediaOptions = {}) {
    this.#privateHosts = new Set(privateHosts);
  }

  /**
   * The call with every medium inside it: the same object where nothing had to be fetched. Throws a 400 that names the medium, and a
   * 429 where the key fetches too much at once, and a 503 where memory is full.
   */
  async broughtIn(
    asked: ModelCall,
    media: readonly Medium[],
    key: string,
    call: { signal: AbortSignal; buffered: Held },
  ): Promise<ModelCall> {
    if (media.length === 0) return asked;
    if (media.length > limits.mediaPartsMost)
      throw invalidAt(
        "messages",
        `hold ${media.length} media; at most ${limits.mediaPartsMost} are taken in one call.`,
      );
    const remote = media.filter((medium) => !isData(medium.url));
    for (const medium of media) if (isData(medium.url)) checkData(medium);
    for (const medium of remote) this.#checkAddress(medium);
    if (remote.length === 0) return asked;
    return asked.withMedia(remote, await this.#fetchAll(key, remote, call));
  }

  #checkAddress({ url, path }: Medium): void {
    if (url.length > limits.mediaAddressCharacters || !URL.canParse(url))
      throw invalidAt(path, "must be an https address or data: with the medium itself.");
    const { protocol, username, password } = new URL(url);
    if (protocol !== "https:" && protocol !== "http:")
      throw invalidAt(path, `begins with ${protocol.slice(0, 20)}: only https, http and data: are taken.`);
    if (username !== "" || password !== "") throw invalidAt(path, "must not hold credentials.");
  }

  /** Data addresses by what they were fetched from; an address that is named twice is fetched once. */
  async #fetchAll(
    key: string,
    media: readonly Medium[],
    { signal, buffered }: { signal: AbortSignal; buffered: Held },
  ): Promise<Map<string, string>> {
    const wanted = new Map(media.map((medium) => [medium.url, medium]));
    const underWay = this.#fetching.get(key) ?? 0;
    if (underWay >= limits.mediaFetchesPerKey)
      throw new LineshaftError({
        code: "media_busy",
        retryAfterSeconds: 1,
        message: `This key already fetches media for ${underWay} calls. Try again in a second, or send the media as data:.`,
      });
    this.#fetching.set(key, underWay + 1);
    try {
      const fetched = new Map<string, string>();
      let left = limits.mediaBytesPerCall;
      // One after the other, so that one bound holds for all of them together.
      for (const [url, medium] of wanted) {
        const data = await this.#fetch(medium, Math.min(left, limits.mediaBytesEach), signal);
        // It is kept as base64, and once more in the request to the engine.
        buffered.add("media", 3 * data.bytes, false);
        left -= data.bytes;
        fetched.set(url, data.url);
      }
      return fetched;
    } finally {
      const now = this.#fetching.get(key)! - 1;
      if (now === 0) this.#fetching.delete(key);
      else this.#fetching.set(key, now);
    }
  }

  async #fetch({ url, path, kind }: Medium, mostBytes: number, signal: AbortSignal) {
    try {
      const { host, hostname } = new URL(url);
      const mayBePrivate = this.#privateHosts.has(host) || this.#privateHosts.has(hostname);
      const { bytes, type } = await fetchPublic(url, { mostBytes, mayBePrivate, signal, accept: types[kind] });
      checkType(path, kind, type, bytes);
      return { bytes: bytes.length, url: `data:${type};base64,${bytes.toString("base64")}` };
    } catch (error) {
      if (!(error instanceof EgressError) || signal.aborted) throw error;
      throw new LineshaftError({
        code: "media_unavailable",
        param: path,
        cause: error,
        message: `${path}: ${error.message} Send the medium as data:, or an address that answers with it.`,
      });
    }
  }
}

const isData = (url: string): boolean => /^data:/i.test(url);

/** `data:TYPE;base64,...` of a type of its kind, whose bytes are what they are called. */
function checkData({ url, path, kind }: Medium): void {
  const comma = url.indexOf(",");
  const match = /^data:([a-z]+\/[a-z0-9.+-]+);base64$/i.exec(comma < 0 || comma > 100 ? "" : url.slice(0, comma));
  if (!match) throw invalidAt(path, "must be written data:TYPE;base64,DATA.");
  if (url.length > (limits.mediaBytesEach * 4) / 3 + 100)
    throw invalidAt(path, `is larger than ${limits.mediaBytesEach} bytes.`);
  const first = Buffer.from(url.slice(comma + 1, comma + 33), "base64");
  checkType(path, kind, match[1]!.toLowerCase(), first);
}

function checkType(path: string, kind: MediaKind, type: string, bytes: Buffer): void {
  if (!types[kind].includes(type))
    throw invalidAt(path, `is of type ${type.slice(0, 60) || "unknown"}; taken are ${types[kind].join(", ")}.`);
  if (Object.hasOwn(signatures, type) && !signatures[type]!(bytes.subarray(0, 16)))
    throw invalidAt(path, `is called ${type}, and its bytes are something else.`);
}
