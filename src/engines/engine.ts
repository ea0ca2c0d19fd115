// The seam between the gateway and what serves tokens. Every engine (the embedded worker, vLLM, Ollama, a provider) is reached through
// this one interface, and nothing above it knows which one it has.
//
// suite.ts (`engineSuite`) holds what every implementation does: answers good and bad, refusals, aborts, cuts, usage, bounds.
import type { Received, Shape } from "./asked.ts";
import type { KvEngine } from "./kv.ts";
import type { EndpointFacts, EngineAnswer, EngineRequest, TokenizedPrompt } from "./types.ts";

export interface Engine {
  readonly kind: string;
  /** Asks the endpoint what it is. Throws EngineError when it cannot be reached. */
  probe(signal?: AbortSignal): Promise<EndpointFacts>;
  /** Starts an attempt. Throws EngineError before the first byte; after it, the answer throws. */
  open(request: EngineRequest, signal?: AbortSignal): Promise<EngineAnswer>;
  /**
   * The prompt of a body as the engine would see it under that cache salt, under which the engine remembers its answers' own tokens.
   * Undefined where the engine cannot say. Never throws. `source`: what the body was made of, whose bytes may be passed on.
   */
  tokenize(
    shape: Shape,
    body: Record<string, unknown>,
    cacheSalt: string,
    signal?: AbortSignal,
    source?: Received,
  ): Promise<TokenizedPrompt | undefined>;
  /** Lets go of connections and streams of events. Calls that are under way go on. */
  close(): Promise<void>;
  /** Its KV cache, where that can be seen or steered. It may appear or go when the endpoint is probed. */
  readonly kv?: KvEngine | undefined;
}
