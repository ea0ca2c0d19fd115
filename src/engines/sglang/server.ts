// What only SGLang has beside OpenAI's routes: what its server and model are (`/server_info`, `/model_info`, and their older names), and
// salts that keep projects out of each other's cache (its `cache_salt`, of version 0.5.3 and newer; older ones ignore the field).
//
// It reports cached tokens only where it was started with `--enable-cache-report`. Without `--tool-call-parser` it writes the tools into
// the prompt and hands their calls back as text, so that a client would wait for a call that never comes: tools are refused then.
import { ask } from "../wire/ask.ts";
import { saltText } from "../salts.ts";
import { toolFields, wholeNumber, type OpenServer, type OpenServerAddress, type ServerFacts } from "../openServer.ts";
import type { Shape } from "../asked.ts";
import type { CallHints, MediaKind } from "../types.ts";

type Json = Record<string, unknown>;

/** Fields of SGLang's that route a call, name its cache or join it to others. */
const platformFields = [
  "extra_key",
  "rid",
  "priority",
  "session_params",
  "bootstrap_host",
  "bootstrap_port",
  "bootstrap_room",
];

export class SglangServer implements OpenServer {
  readonly #address: OpenServerAddress;

  constructor(address: OpenServerAddress) {
    this.#address = address;
  }

  async probe(signal?: AbortSignal): Promise<ServerFacts> {
    const [server, model] = await Promise.all([
      this.#either("/server_info", "/get_server_info", signal),
      this.#either("/model_info", "/get_model_info", signal),
    ]);
    return sglangFacts(server, model);
  }

  prepare(shape: Shape, _body: Json, { cacheSalt }: CallHints): Json {
    if (shape !== "chat" && shape !== "completions") return {};
    return {
      ...Object.fromEntries(platformFields.map((field) => [field, undefined])),
      cache_salt: saltText(cacheSalt),
    };
  }

  close(): void {}

  /** The answer of a route, or of its older name; empty where neither is open. */
  async #either(path: string, older: string, signal?: AbortSignal): Promise<Json> {
    const { root, headers } = this.#address;
    const of = (route: string) => ask("GET", root + route, headers, undefined, signal);
    return of(path).catch(() => of(older).catch(() => ({})));
  }
}

/** What the two answers say. Any of their members may be missing or of another kind than documented. */
export function sglangFacts(server: Json, model: Json): ServerFacts {
  const contextTokens = wholeNumber(server["context_length"]);
  const blockTokens = wholeNumber(server["page_size"]);
  const ranks = wholeNumber(server["dp_size"]) ?? 1;
  const slots = slotsOf(server);
  const deviceTokens = wholeNumber(server["max_total_num_tokens"]);
  const media = mediaOf(model);
  const ignoresTools = server["tool_call_parser"] === null;
  return {
    ...(contextTokens !== undefined && { contextTokens }),
    ...(blockTokens !== undefined && { blockTokens }),
    ...(slots !== undefined && { slots: slots * ranks }),
    ...(deviceTokens !== undefined && {
      kv: {
        bytesPerToken: 0,
        deviceTokens: deviceTokens * ranks,
        totalTokens: deviceTokens * ranks,
        reloadMsPerToken: {},
      },
    }),
    capabilities: {
      speaks: model["is_generation"] === false ? ["embeddings"] : ["chat", "completions"],
      ...(media && { media }),
    },
    ...(ignoresTools && { ignoredFields: toolFields }),
  };
}

/** Calls that one rank runs at once: what it was told, else what it worked out from its memory. */
function slotsOf(server: Json): number | undefined {
  const told = wholeNumber(server["max_running_requests"]);
  if (told !== undefined) return told;
  const states = server["internal_states"];
  const [state] = Array.isArray(states) ? (states as (Json | null)[]) : [];
  return wholeNumber(state?.["effective_max_running_requests_per_dp"]);
}

/** Undefined where the server is too old to say it. */
function mediaOf(model: Json): MediaKind[] | undefined {
  const { has_image_understanding: image, has_audio_understanding: audio } = model;
  if (typeof image !== "boolean") return undefined;
  return [...(image ? (["image"] as const) : []), ...(audio === true ? (["audio"] as const) : [])];
}
