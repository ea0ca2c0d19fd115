// A prompt as the scheduler needs it: its number of tokens, and the hashes of its blocks, salted by project or key.
//
// Where there are several endpoints the prompt is tokenised once, by the endpoint that served its program last (that one remembers the
// tokens of its own answers), and its ids travel with the call. Endpoints that do not tokenise are placed by the bytes of the prompt as
// they were received (protocols/promptBytes.ts). Where there is one endpoint, a guess is enough.
import type { RegisteredEndpoint, TokenizedPrompt } from "../../engines/index.ts";
import { estimateTokens, shapeFor } from "../../engines/index.ts";
import { ChainCache, type PromptBlocks, type PromptWords, type Space } from "../../scheduler/index.ts";
import type { ModelCall } from "../modelCall.ts";
import { type Soon, whenThere } from "../soon.ts";
import type { CallRequest } from "../types.ts";
import { spaceOf } from "./specs.ts";

export interface PromptFacts {
  promptTokens: number;
  /** Whether an engine has counted them, or they were guessed from the text. */
  counted: boolean;
  /** Ids, where an engine said them. */
  tokens: readonly number[] | undefined;
  /** One entry for every way in which the endpoints cut prompts into blocks. */
  blocks: PromptBlocks[];
}

export class PromptReader {
  readonly #chains = new ChainCache();

  /** Forgets the hashes that are kept of a project's prompts between two turns. */
  forget(project: string): void {
    this.#chains.forget(project);
  }

  /** `knows`: the endpoint that served the program last, to be asked first. Of a single endpoint nothing is asked. */
  read(
    request: CallRequest,
    program: string | undefined,
    endpoints: readonly RegisteredEndpoint[],
    knows: string | undefined,
  ): Soon<PromptFacts> {
    if (endpoints.length < 2) return guessed(request.asked);
    return whenThere(tokenized(request, endpoints, knows), (asked) => {
      const facts: PromptFacts =
        asked === undefined
          ? guessed(request.asked)
          : { promptTokens: asked.count, counted: true, tokens: asked.tokens, blocks: [] };
      const salt = cacheSalt(request);
      for (const space of spacesOf(endpoints)) {
        const words = wordsOf(space, request.asked, facts.tokens);
        if (words) facts.blocks.push(this.#chains.update(program ?? "", space, salt, words));
      }
      return facts;
    });
  }
}

/** The ways in which the endpoints cut prompts into blocks; most often there is one. */
function spacesOf(endpoints: readonly RegisteredEndpoint[]): Space[] {
  const spaces: Space[] = [];
  for (const endpoint of endpoints) {
    const space = spaceOf(endpoint);
    if (!spaces.some(({ name }) => name === space.name)) spaces.push(space);
  }
  return spaces;
}

const guessed = (asked: ModelCall): PromptFacts => ({
  promptTokens: promptGuess(asked),
  counted: false,
  tokens: undefined,
  blocks: [],
});

/** Tokens of a prompt as guessed from its text, at least 1. */
export const promptGuess = ({ promptCharacters }: ModelCall): number => Math.max(1, estimateTokens(promptCharacters));

function tokenized(
  request: CallRequest,
  endpoints: readonly RegisteredEndpoint[],
  knows: string | undefined,
): Soon<TokenizedPrompt | undefined> {
  const able = endpoints.filter(
    ({ facts, up }) => facts?.capabilities.tokenize && !facts.capabilities.countsAfar && up !== false,
  );
  const first = able.find(({ endpoint }) => endpoint === knows) ?? able[0];
  // Several prompts in one call are several prefixes: they are placed by load alone.
  if (!first || request.asked.prompt.kind === "list") return undefined;
  const shape = shapeFor(request.asked, first.facts?.capabilities);
  if (shape === undefined) return undefined;
  const { asked } = request;
  const body = asked.engineBody({ shape, model: first.model });
  const source = asked.received?.shape === shape ? asked.received : undefined;
  return first.engine.tokenize(shape, body, cacheSalt(request), request.signal, source);
}

function wordsOf(space: Space, asked: ModelCall, tokens: readonly number[] | undefined): PromptWords | undefined {
  if (space.unit === "tokens") return tokens && Uint32Array.from(tokens);
  return asked.promptBytes() ?? textOf(asked);
}

/** A text that grows at its end when the conversation does, as the rendered prompt would; undefined for several prompts. */
function textOf({ prompt, tools }: ModelCall): Uint8Array[] | undefined {
  switch (prompt.kind) {
    case "text":
      return [Buffer.from(prompt.text)];
    case "tokens":
      return [Buffer.from(JSON.stringify(prompt.tokens))];
    case "messages":
      return [tools, ...prompt.messages].map((one) => Buffer.from(`${JSON.stringify(one)}\n`));
    case "list":
    case "rerank":
      return undefined;
  }
}

/**
 * The salt of a call's prefixes: in KV and files of the embedded engine and of vLLM, in the scheduler's index, and for remembered texts.
 * Calls under two salts share nothing there, so neither cached tokens nor time tell one what another asked. A call may narrow the salt
 * to its key. Other engines take no salt: what their caches share between projects shows in cached tokens, price and time.
 */
export function cacheSalt({ principal, cacheScope }: CallRequest): string {
  return cacheScope === "key" ? `${principal.project}/${principal.key}` : principal.project;
}

/** A program's name, unique among all tenants: a run's is its own id, a client's session is named within its cache salt. */
export function programKey(request: CallRequest): string | undefined {
  const { program, run } = request;
  if (run !== undefined && (program === undefined || program === run)) return run;
  return program === undefined ? undefined : `${cacheSalt(request)}/${program}`;
}
