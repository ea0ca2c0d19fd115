// What a request body asks for: checked fields, the prompt as tokens, the form of the answer, and the owner of its state. A call, a prefill
// for another worker and the counting of tokens all read a body here, so that they agree.
import { LineshaftError } from "../../errors/index.ts";
import { randomUUID } from "node:crypto";
import { z } from "zod";
import { invalid } from "./errors.ts";
import { type AnswerForm, formOf } from "./grammars.ts";
import type { StateOwner } from "./kvStore.ts";
import type { Prompt, Prompts } from "./prompts.ts";
import type { SamplingDefaults } from "./samplingDefaults.ts";
import { type ChatRequest, type CommonRequest, parseChat, parseCompletion } from "./request.ts";

export interface AskContext {
  prompts: Prompts;
  model: string;
  /** Prompt and output together. */
  contextTokens: number;
  /** Sampling parameters for fields that a body omits. */
  sampling: SamplingDefaults;
}

export interface Asked {
  request: CommonRequest;
  prompt: Prompt;
  form: AnswerForm | undefined;
  owner: StateOwner;
  attempt: string;
  /** The prompt ends within the answer, whose beginning it has. */
  goesOn: boolean;
  /** At least 1, and such that prompt and output fit a sequence. */
  maxTokens: number;
}

/** Throws LineshaftError at the first field that cannot be honoured. */
export function askedChat(context: AskContext, body: unknown): Asked {
  const request = parseChat(body, context.sampling);
  checkModel(context, body);
  const form = formOf(request);
  const { addGenerationPrompt, continueFinal } = request;
  const prompt = context.prompts.chat(ownerOf(request).cacheSalt, request.messages, shownTools(request), {
    addGenerationPrompt,
    continueFinal,
    given: request.hints?.promptTokens,
  });
  return asked(context, request, prompt, form, continueFinal);
}

/** Throws LineshaftError at the first field that cannot be honoured. */
export function askedCompletion(context: AskContext, body: unknown): Asked {
  const request = parseCompletion(body, context.sampling);
  checkModel(context, body);
  return asked(
    context,
    request,
    context.prompts.completion(request.prompt, request.hints?.promptTokens),
    undefined,
    false,
  );
}

const counted = z.looseObject({
  prompt: z.unknown().optional(),
  messages: z.unknown().optional(),
  tools: z.unknown().optional(),
  tool_choice: z.unknown().optional(),
  add_generation_prompt: z.unknown().optional(),
  continue_final_message: z.unknown().optional(),
  cacheSalt: z.string().optional(),
});

/** The prompt tokens that a call with this prompt or conversation and this cache salt would have. */
export function askedTokens(context: AskContext, body: unknown): number[] {
  const read = counted.safeParse(body);
  if (!read.success) throw invalid("body", "is not valid");
  const { prompt, cacheSalt, ...chat } = read.data;
  if ((prompt ?? undefined) === undefined) {
    if ((chat.messages ?? undefined) === undefined) throw invalid("prompt", "or `messages` must be given");
    const { messages, tools, tool_choice, add_generation_prompt, continue_final_message } = chat;
    const body = { messages, tools, tool_choice, add_generation_prompt, continue_final_message };
    const request = parseChat(body, context.sampling);
    const { addGenerationPrompt, continueFinal } = request;
    return context.prompts.chat(cacheSalt ?? anonymous.cacheSalt, request.messages, shownTools(request), {
      addGenerationPrompt,
      continueFinal,
    }).tokens;
  }
  if ((chat.messages ?? undefined) !== undefined) throw invalid("prompt", "and `messages` must not both be given");
  return context.prompts.completion(parseCompletion({ prompt }, context.sampling).prompt).tokens;
}

const anonymous = { cacheSalt: "local", project: "local" };

function ownerOf({ hints }: CommonRequest): StateOwner {
  if (!hints) return anonymous;
  const { cacheSalt, project, program } = hints;
  return { cacheSalt, project, ...(program !== undefined && { program }) };
}

/** Tools that the prompt shows to the model. */
function shownTools(request: ChatRequest): Record<string, unknown>[] {
  return request.toolChoice === "none" ? [] : request.tools;
}

function asked(
  context: AskContext,
  request: CommonRequest,
  prompt: Prompt,
  form: AnswerForm | undefined,
  goesOn: boolean,
): Asked {
  return {
    request,
    prompt,
    form,
    owner: ownerOf(request),
    attempt: request.hints?.attempt ?? randomUUID(),
    goesOn,
    maxTokens: outputBudget(prompt.tokens.length, request.maxTokens, context.contextTokens),
  };
}

function checkModel(context: AskContext, body: unknown): void {
  const model = (body as { model?: unknown }).model;
  if (model === undefined || model === null || model === context.model) return;
  throw new LineshaftError({
    code: "model_not_found",
    message: `This worker does not serve the model \`${String(model)}\`.`,
    param: "model",
    hint: `Ask for \`${context.model}\`.`,
  });
}

/** The wanted number of tokens, reduced to the room that the prompt leaves. Throws 400 with both numbers when there is none. */
function outputBudget(promptTokens: number, wish: number | undefined, contextTokens: number): number {
  if (promptTokens === 0) {
    throw new LineshaftError({
      code: "empty_prompt",
      message: "The prompt has no tokens.",
      param: "prompt",
      hint: "Send some text.",
    });
  }
  const room = contextTokens - promptTokens;
  if (room < 1) {
    throw new LineshaftError({
      code: "context_length_exceeded",
      message: `The prompt has ${promptTokens} tokens, and a sequence holds ${contextTokens} with at least 1 of output.`,
      param: "messages",
      hint: `Shorten the prompt to ${contextTokens - 1} tokens, or serve the model with a longer context.`,
    });
  }
  return Math.min(wish ?? room, room);
}
