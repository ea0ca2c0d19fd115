// How many tokens a prompt has, for the questions of clients that ask before they send it. The model's own engine counts where it can;
// otherwise the number is estimated from the text, and a header says so.
import { promptGuess } from "../scheduling/prompts.ts";
import type { ModelCall } from "../modelCall.ts";
import { unknownModel } from "../refusals.ts";
import { shapeAt } from "./spoken.ts";
import type { Questioned } from "./types.ts";

/** Throws 404 where the model is not served, and 400 where no endpoint of it takes the prompt. */
export async function countedPrompt(
  call: ModelCall,
  { engines, principal, aliases }: Pick<Questioned, "engines" | "principal" | "aliases">,
): Promise<{ tokens: number; headers: Record<string, string> }> {
  const served = aliases.find(({ alias }) => alias === call.model)?.model ?? call.model;
  const endpoints = engines.endpoints(served, principal.organisation);
  if (endpoints.length === 0)
    throw unknownModel(
      call.model,
      engines.list(principal.organisation).map(({ name }) => name),
    );
  const able = endpoints.find(({ facts, up }) => facts?.capabilities.tokenize && up !== false);
  if (able) {
    const shape = shapeAt(call, able);
    const body = call.fitted(able).engineBody({ shape, model: able.model, capabilities: able.facts?.capabilities });
    const counted = await able.engine.tokenize(shape, body, principal.project);
    if (counted) return { tokens: counted.count, headers: { "x-lineshaft-counted": "engine" } };
  }
  return { tokens: promptGuess(call), headers: { "x-lineshaft-counted": "estimate" } };
}
