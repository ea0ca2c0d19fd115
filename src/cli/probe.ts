// The `send` of a calibration for any address that speaks OpenAI's completions: streamed and greedy, with a prompt of plain words that
// begins unlike any other, so that no prefix cache can help.
import { randomUUID } from "node:crypto";
import { EventSourceParserStream } from "eventsource-parser/stream";
import type { ProbeAnswer, ProbeRequest, Send } from "../simulator/index.ts";
import { CliError } from "./errors.ts";

interface EndpointAddress {
  /** Base address with /v1. */
  baseUrl: string;
  model: string;
  /** Sent as a bearer token. */
  key?: string;
}

interface Chunk {
  choices?: unknown[];
  error?: { message?: string } | string;
  usage?: { prompt_tokens: number; completion_tokens: number } | null;
}

/** Asks for outputs of exactly the wanted length by `ignore_eos` if the endpoint supports it (vLLM, SGLang). */
export function endpointSend(address: EndpointAddress): Send {
  let knowsIgnoreEos = true;
  // An earlier calibration may still be in the endpoint's cache.
  const run = randomUUID().slice(0, 8);
  const send: Send = async (request) => {
    const started = performance.now();
    const asked = knowsIgnoreEos;
    const response = await post(address, { ...request, nonce: `${run} ${request.nonce}` }, asked);
    if (response.status !== 400 || !asked) return answerOf(response, started, request);
    await response.body?.cancel();
    knowsIgnoreEos = false;
    return send(request);
  };
  return send;
}

async function post({ baseUrl, model, key }: EndpointAddress, request: ProbeRequest, ignoreEos: boolean) {
  const { promptTokens, outputTokens, nonce, signal } = request;
  try {
    return await fetch(`${baseUrl}/completions`, {
      method: "POST",
      headers: { "content-type": "application/json", ...(key !== undefined && { authorization: `Bearer ${key}` }) },
      body: JSON.stringify({
        model,
        prompt: plainWords(nonce, promptTokens),
        max_tokens: outputTokens,
        temperature: 0,
        stream: true,
        stream_options: { include_usage: true },
        ...(ignoreEos && { ignore_eos: true }),
      }),
      signal: signal ?? null,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    const why = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
    throw new CliError({
      exitCode: 1,
      message: `${baseUrl} cannot be reached: ${why}`,
      hint: "Check the address, and that the endpoint runs.",
    });
  }
}

async function answerOf(response: Response, started: number, { onFirstToken }: ProbeRequest): Promise<ProbeAnswer> {
  if (!response.ok || response.body === null) {
    const text = (await response.text()).slice(0, 300);
    throw new CliError({
      exitCode: 1,
      message: `The endpoint answered ${response.status}: ${text}`,
      hint: "Check the model's name, the key, and that it serves /v1/completions.",
    });
  }
  let firstMs = 0;
  let lastMs = 0;
  let usage: Chunk["usage"];
  const events = response.body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
  for await (const { data } of events) {
    if (data === "[DONE]") continue;
    const chunk = JSON.parse(data) as Chunk;
    if ((chunk.choices?.length ?? 0) > 0) {
      lastMs = performance.now() - started;
      if (firstMs === 0) {
        firstMs = lastMs;
        onFirstToken?.();
      }
    }
    if (chunk.error !== undefined) throw brokenStream(chunk.error);
    usage = chunk.usage ?? usage;
  }
  if (!usage) {
    throw new CliError({
      exitCode: 1,
      message: "The endpoint's stream reported no token counts.",
      hint: "It must honour stream_options.include_usage.",
    });
  }
  return {
    promptTokens: usage.prompt_tokens,
    outputTokens: usage.completion_tokens,
    ttftMs: firstMs,
    totalMs: lastMs,
  };
}

function brokenStream(error: NonNullable<Chunk["error"]>): CliError {
  const message = typeof error === "string" ? error : (error.message ?? "it does not say why");
  return new CliError({
    exitCode: 1,
    message: `The endpoint broke off its answer: ${message}`,
    hint: "See its own log, and begin again when it serves.",
  });
}

const vocabulary = ["river", "stone", "light", "green", "table", "north", "paper", "glass", "water", "house", "field"];

/** About `count` tokens of plain words behind a unique beginning. */
function plainWords(nonce: string, count: number): string {
  // The unique beginning takes some tokens itself.
  const words = Array.from(
    { length: Math.max(1, count - 8) },
    (_, i) => vocabulary[(i * i + count) % vocabulary.length]!,
  );
  return `${nonce}: ${words.join(" ")}`;
}
