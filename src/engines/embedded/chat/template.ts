// Prompts by the model's own Jinja template, as its GGUF file carries it (`tokenizer.chat_template`).
import { chatRefused } from "./errors.ts";
import { randomBytes } from "node:crypto";
import { Template } from "@huggingface/jinja";
import { definition, folded, withTools, writesHermesItself } from "./hermes.ts";
import { turnsOf, type ChatMessage, type ChatTool, type Turn } from "./messages.ts";
import { Marker, suspicionOf, type Segment } from "./segments.ts";

/** The facts of a model that its template needs. */
interface TemplateOptions {
  /** Text of the tokens that begin and end a sequence; "" where the model has none. */
  bosToken: string;
  eosToken: string;
  /** Text of the model's control tokens. If absent, every text in the form of one counts as one. */
  specialTokens?: readonly string[];
}

/** Options of rendering beside the messages. */
interface RenderOptions {
  tools?: readonly ChatTool[];
  /** Ends the prompt where the assistant's next message begins. */
  addGenerationPrompt: boolean;
  /** The last message is the beginning of the answer: the prompt ends where it begins, and its text comes apart. */
  continueFinal?: boolean;
}

/** A prompt. */
export interface Rendered {
  text: string;
  /** The same text in parts, to be tokenised one after another. */
  segments: Segment[];
  /**
   * The beginning of the answer that follows the prompt, which is not in `text`; empty where there is none. It is not written by the
   * template, which may trim it or put something before it, but stands as the model would have written it.
   */
  beginning: Segment[];
}

/** A model's own chat template (Jinja, as transformers runs it). */
export interface ChatTemplate {
  /** Renders a conversation. Throws LineshaftError (400) for content that this model cannot be shown. */
  render(messages: readonly ChatMessage[], options: RenderOptions): Rendered;
}

/** Reads a chat template. Throws LineshaftError `unreadable_template` when it is not Jinja as models use it. */
export function createTemplate(source: string, options: TemplateOptions): ChatTemplate {
  let template: Template;
  try {
    template = new Template(source);
  } catch (error) {
    throw chatRefused("unreadable_template", `The model's chat template cannot be read: ${(error as Error).message}`);
  }
  const native = writesHermesItself(source);
  const { bosToken, eosToken } = options;
  const marker = new Marker(randomBytes(12).toString("hex"), suspicionOf(options.specialTokens, [bosToken, eosToken]));

  return {
    render(messages, { tools = [], addGenerationPrompt, continueFinal = false }) {
      const all = turnsOf(messages);
      const turns = continueFinal ? all.slice(0, -1) : all;
      const beginning = continueFinal ? marker.segments(marker.wrap(all.at(-1)!.content))! : [];
      const offered = native && tools.length > 0 ? tools.map(definition) : undefined;
      const variables = { add_generation_prompt: addGenerationPrompt, bos_token: bosToken, eos_token: eosToken };
      const rendered = (turns: readonly Turn[]): Rendered => ({
        ...marked(marker, (change) =>
          run(template, {
            messages: turns.map((turn) => templateMessage(turn, change)),
            ...(offered ? { tools: deepText(offered, change) } : {}),
            ...variables,
          }),
        ),
        beginning,
      });
      if (native) return rendered(turns);
      const written = withTools(turns, tools);
      try {
        return rendered(written);
      } catch (error) {
        const ours = tools.length > 0 || turns.some((turn) => turn.role === "tool");
        if (!ours) throw error;
        try {
          return rendered(folded(written));
        } catch {
          throw error;
        }
      }
    },
  };
}

/** Renders so that text which looks like a special token is kept apart (segments.ts). */
function marked(
  marker: Marker,
  render: (change: (text: string) => string) => string,
): Pick<Rendered, "text" | "segments"> {
  let touched = false;
  const wrapped = render((own) => {
    const inside = marker.wrap(own);
    touched ||= inside !== own;
    return inside;
  });
  if (!touched) return { text: wrapped, segments: [{ text: wrapped, special: true }] };
  // First whole finds are wrapped, then only cut inside; if a template fails with both, the text is altered.
  const text = render((own) => own);
  for (const change of [marker.wrap, marker.split]) {
    const result = change === marker.wrap ? wrapped : render(change);
    const segments = marker.strip(result) === text ? marker.segments(result) : undefined;
    if (segments) return { text, segments };
  }
  const safe = render(marker.broken);
  return { text: safe, segments: [{ text: safe, special: true }] };
}

/** A turn as templates expect it: arguments as an object, as transformers hands them over. */
function templateMessage(turn: Turn, change: (text: string) => string): Record<string, unknown> {
  return {
    role: turn.role,
    content: change(turn.content),
    ...(turn.name === undefined ? {} : { name: change(turn.name) }),
    ...(turn.role !== "tool" || turn.callId === undefined ? {} : { tool_call_id: change(turn.callId) }),
    ...(turn.calls.length === 0
      ? {}
      : {
          tool_calls: turn.calls.map((call) => ({
            type: "function",
            ...(call.id === undefined ? {} : { id: change(call.id) }),
            function: { name: change(call.name), arguments: deepText(argumentsOf(call.arguments), change) },
          })),
        }),
  };
}

function argumentsOf(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : text;
  } catch {
    return text;
  }
}

/** Changes every text in a value, names of members included. */
function deepText(value: unknown, change: (text: string) => string): unknown {
  if (typeof value === "string") return change(value);
  if (Array.isArray(value)) return value.map((element) => deepText(element, change));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [change(key), deepText(member, change)]));
}

function run(template: Template, context: Record<string, unknown>): string {
  try {
    return template.render(context);
  } catch (error) {
    throw chatRefused(
      "template_refused",
      `The model's chat template refuses this conversation: ${(error as Error).message}`,
      "messages",
    );
  }
}
