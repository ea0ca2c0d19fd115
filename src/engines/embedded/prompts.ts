// From conversations to tokens, so that the next turn's prompt begins with exactly the tokens of this one.
//
// A model may write a text in other tokens than the tokenizer would cut it into. Tokenised again, such an answer would differ
// from what the sequence holds, and everything behind it would be computed again. So the text of prompt and answer is
// remembered with its tokens, and a prompt that begins with a remembered text takes those and tokenises only the rest.
// Remembered per cache salt, like everything that comes from a prompt.
import { LineshaftError } from "../../errors/index.ts";
import { type ChatMessage, type ChatTemplate, type ChatTool, type Rendered, createTemplate } from "./chat/index.ts";
import { invalid } from "./errors.ts";
import { rememberedOutputs } from "./limits.ts";

interface Tokenizer {
  /** `goesOn`: the text follows another, so that no tokenizer puts a space before it. */
  tokenize(text: string, special: boolean, goesOn?: boolean): number[];
  vocabularySize: number;
  prependBos: boolean;
}

export interface Prompt {
  tokens: number[];
  /** The prompt's text, if all of it was tokenised with special tokens recognised; only such a text may be remembered. */
  text: string | undefined;
}

/** A text and the tokens in which it was said. */
interface Remembered {
  text: string;
  tokens: number[];
}

interface TemplateSource {
  source: string | undefined;
  bosToken: string;
  eosToken: string;
  specialTokens: string[];
}

/** The tokens of prompts that were counted before the call. */
const givenAs = "lineshaft.promptTokens";

export class Prompts {
  private readonly tokenizer: Tokenizer;
  private readonly template: ChatTemplate | undefined;
  private readonly bos: number[];
  /** Text of the tokens by which the template begins and ends turns: an answer that spells one out ends there. */
  readonly turnMarkers: string[];
  /** Oldest first. */
  private said: (Remembered & { cacheSalt: string; project: string })[] = [];

  constructor(tokenizer: Tokenizer, template: TemplateSource) {
    this.tokenizer = tokenizer;
    this.template = template.source === undefined ? undefined : createTemplate(template.source, template);
    this.turnMarkers = turnMarkersOf(template);
    this.bos = tokenizer.prependBos ? tokenizer.tokenize(template.bosToken, true) : [];
  }

  /**
   * `given` are the prompt's tokens where they are known already: the text is rendered all the same, so that the answer can
   * be remembered with it. `continueFinal`: the last message is the beginning of the answer. Throws LineshaftError for a model without a
   * chat template, for tokens that it does not have, and for a conversation that it cannot be shown.
   */
  chat(
    cacheSalt: string,
    messages: readonly unknown[],
    tools: readonly unknown[],
    more: { addGenerationPrompt?: boolean; continueFinal?: boolean; given?: readonly number[] | undefined } = {},
  ): Prompt {
    if (!this.template) {
      throw new LineshaftError({
        code: "no_chat_template",
        message: "This model's file has no chat template.",
        hint: "Call /v1/completions, or serve an instruct model.",
      });
    }
    const rendered = this.template.render(messages as ChatMessage[], {
      tools: tools as ChatTool[],
      addGenerationPrompt: more.addGenerationPrompt ?? true,
      continueFinal: more.continueFinal ?? false,
    });
    const plain = [...rendered.segments, ...rendered.beginning].every((segment) => segment.special);
    const text = plain ? rendered.text + rendered.beginning.map((segment) => segment.text).join("") : undefined;
    if (more.given) return { tokens: this.known(more.given, givenAs), text };
    return { tokens: this.tokensOf(rendered, text === undefined ? undefined : this.recall(cacheSalt, text)), text };
  }

  /**
   * The tokens of a prompt and of the beginning of its answer. The beginning is tokenised alone, because the model wrote it after the
   * prompt's last token. Where it ends at a token's border, and in the tokens that the tokenizer would choose, that gives the model's own.
   */
  private tokensOf({ text, segments, beginning }: Rendered, known: Remembered | undefined): number[] {
    const { tokenizer } = this;
    const begun = beginning.map((segment) => segment.text).join("");
    if (known && known.text.length > text.length)
      return [...known.tokens, ...tokenizer.tokenize((text + begun).slice(known.text.length), true, true)];
    const before = known
      ? [...known.tokens, ...tokenizer.tokenize(text.slice(known.text.length), true)]
      : this.withBos(segments.flatMap((segment) => tokenizer.tokenize(segment.text, segment.special)));
    return [...before, ...beginning.flatMap((segment) => tokenizer.tokenize(segment.text, segment.special, true))];
  }

  /** Tokenises a plain prompt; no text in it becomes a special token. */
  completion(prompt: string | number[], given?: readonly number[]): Prompt {
    if (given) return { tokens: this.known(given, givenAs), text: undefined };
    if (typeof prompt === "string")
      return { tokens: this.withBos(this.tokenizer.tokenize(prompt, false)), text: undefined };
    return { tokens: this.known(prompt, "prompt"), text: undefined };
  }

  /** Remembers that `text` was generated in these tokens. */
  remember({ cacheSalt, project }: { cacheSalt: string; project: string }, text: string, tokens: number[]): void {
    const at = this.said.findIndex((entry) => entry.cacheSalt === cacheSalt && text.startsWith(entry.text));
    if (at >= 0) this.said.splice(at, 1);
    this.said.push({ cacheSalt, project, text, tokens });
    if (this.said.length > rememberedOutputs) this.said.shift();
  }

  /** Forgets the texts of an erased project. */
  eraseProject(project: string): void {
    this.said = this.said.filter((entry) => entry.project !== project);
  }

  /** The longest remembered text with which this one begins. */
  private recall(cacheSalt: string, text: string): Remembered | undefined {
    let longest: Remembered | undefined;
    for (const entry of this.said) {
      if (entry.cacheSalt !== cacheSalt || entry.text.length <= (longest?.text.length ?? 0)) continue;
      if (text.startsWith(entry.text)) longest = entry;
    }
    return longest;
  }

  /** The tokens, all of this model's vocabulary. */
  private known(tokens: readonly number[], param: string): number[] {
    const { vocabularySize } = this.tokenizer;
    const unknown = tokens.find((token) => token >= vocabularySize);
    if (unknown !== undefined)
      throw invalid(param, `holds the token ${unknown}, and the vocabulary ends at ${vocabularySize - 1}`);
    return [...tokens];
  }

  private withBos(tokens: number[]): number[] {
    if (this.bos.length === 0 || tokens[0] === this.bos[0]) return tokens;
    return [...this.bos, ...tokens];
  }
}

/** People write shorter ones too: `</s>` ends struck-through text in HTML. */
const turnMarkerMinLength = 5;

function turnMarkersOf({ source = "", bosToken, eosToken, specialTokens }: TemplateSource): string[] {
  const written = specialTokens.filter((token) => source.includes(token));
  return [...new Set([...written, bosToken, eosToken])].filter((token) => token.length >= turnMarkerMinLength);
}
