// `lineshaft call`: one question to a model that is served here.
import type { Command } from "commander";
import { verb, type Context } from "./context.ts";
import { CliError } from "./errors.ts";
import { count } from "./format.ts";
import { unknownName } from "./nearest.ts";
import { AnsweredError } from "./client.ts";
import { readInput } from "./input.ts";
import { wholeNumber } from "./options.ts";
import type { Terminal } from "./terminal.ts";

interface CallOptions {
  model?: string;
  system?: string;
  maxTokens?: number;
  temperature?: string;
  stream?: boolean;
  json?: boolean;
}

interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  prompt_tokens_details?: { cached_tokens?: number };
}

export function registerCall(program: Command, context: Context): void {
  verb(program, "call [text]", {
    about: "Ask a model; the text comes from the argument, or from stdin when it is - or absent",
    examples: ['npx lineshaft call "Name three metals."', 'echo "Name three metals." | npx lineshaft call --json'],
  })
    .option("--model <name>", "model to ask; the first that writes text by default")
    .option("--system <text>", "instructions that come before the question")
    .option("--max-tokens <number>", "longest answer, in tokens", wholeNumber)
    .option("--temperature <number>", "0: the same answer every time; higher: more varied; the model's own by default")
    .option("--stream", "print the answer while it comes (the default on a terminal)")
    .option("--no-stream", "print the answer when it is complete")
    .action(async (text: string | undefined, options: CallOptions) => {
      const question = await questionOf(text, context.terminal);
      const client = context.client();
      const { data } = await client.get<{ data: { id: string; kind?: string }[] }>("/v1/models");
      const known = data.map(({ id }) => id);
      const model = options.model ?? data.find(({ kind = "generate" }) => kind === "generate")?.id;
      if (!model)
        throw new CliError({
          message: "No model that writes text is served.",
          why: "The instance has neither an embedded model that writes text nor an added engine that is up.",
          hint: "See `npx lineshaft status`, or add one with `npx lineshaft engines add`.",
        });
      const body = {
        model,
        messages: [
          ...(options.system ? [{ role: "system", content: options.system }] : []),
          { role: "user", content: question },
        ],
        ...(options.temperature !== undefined && { temperature: number(options.temperature, "--temperature") }),
        ...(options.maxTokens !== undefined && { max_tokens: options.maxTokens }),
      };
      try {
        const stream = options.json ? false : (options.stream ?? context.terminal.stdout.isTTY ?? false);
        await (stream ? streamed(context, body) : whole(context, body, options.json ?? false));
      } catch (error) {
        if (error instanceof AnsweredError && error.status === 404 && !known.includes(model))
          throw unknownName("model", model, known, "npx lineshaft models");
        throw error;
      }
    });
}

/** The prompt. Throws a CliError (used wrongly) when it is empty, before anything is sent, because every call costs money. */
async function questionOf(text: string | undefined, terminal: Terminal): Promise<string> {
  const missing = (why: string) =>
    new CliError({
      exitCode: 2,
      message: "There is no text to ask.",
      why,
      hint: 'Write it behind the verb: npx lineshaft call "Name three metals."',
    });
  if (text === undefined && terminal.stdin.isTTY) throw missing("No text was given, and nothing is piped in.");
  const question = text === undefined || text === "-" ? await readInput("-", terminal) : text;
  if (question.trim() === "")
    throw missing(text === undefined || text === "-" ? "stdin was empty." : "The text is empty.");
  return question;
}

function number(text: string, option: string): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isFinite(value)) return value;
  throw new CliError({ exitCode: 2, message: `${option} ${text} is not a number.`, hint: `Write it like ${option} 1` });
}

async function whole(context: Context, body: object, json: boolean): Promise<void> {
  const client = context.client();
  const answer = await client.post<{ choices: { message: { content: string } }[]; usage?: Usage }>(
    "/v1/chat/completions",
    body,
  );
  if (json) return context.terminal.printJson(answer);
  context.terminal.print(answer.choices[0]?.message.content ?? "");
  if (answer.usage) context.terminal.note(usageLine(context, answer.usage, client.cutBy));
}

async function streamed(context: Context, body: object): Promise<void> {
  const request = { ...body, stream: true, stream_options: { include_usage: true } };
  let usage: Usage | undefined;
  const client = context.client();
  const events = client.events("/v1/chat/completions", { method: "POST", body: request, signal: context.signal });
  for await (const { data } of events) {
    const chunk = data as {
      choices: { delta?: { content?: string | null } }[];
      usage?: Usage | null;
      error?: { message: string; hint?: string };
    };
    if (chunk.error) {
      context.terminal.printRaw("\n");
      const { message, hint } = chunk.error;
      throw new CliError({
        message: hint && message.endsWith(hint) ? message.slice(0, -hint.length).trim() : message,
        hint: hint ?? "Ask again; `npx lineshaft status` says whether all is well.",
      });
    }
    context.terminal.printRaw(chunk.choices[0]?.delta?.content ?? "");
    usage = chunk.usage ?? usage;
  }
  context.terminal.print("");
  if (usage) context.terminal.note(usageLine(context, usage, client.cutBy));
}

/** `cutBy`: the budget that cut the answer short, if one did. */
function usageLine(context: Context, usage: Usage, cutBy: string | undefined): string {
  const cached = usage.prompt_tokens_details?.cached_tokens ?? 0;
  const { dim } = context.terminal.colours("stderr");
  return dim(
    `${count(usage.prompt_tokens)} prompt tokens (${count(cached)} cached), ${count(usage.completion_tokens)} output tokens${cutBy === undefined ? "" : `; the budget ${cutBy} ended here and cut the answer`}`,
  );
}
