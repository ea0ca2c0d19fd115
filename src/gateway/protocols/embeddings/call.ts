// An embeddings call as a ModelCall.
import { embeddingFields, type Prompt } from "../../../engines/index.ts";
import type { ModelCall } from "../../modelCall.ts";
import { InputCall } from "../inputCall.ts";

export class EmbeddingsCall extends InputCall {
  readonly shape = "embeddings";
  readonly kind = "embed";
  protected readonly sent = embeddingFields;
  protected readonly ours = [];

  get prompt(): Prompt {
    return { kind: "list", prompts: this.texts() };
  }

  protected texts(): readonly (string | readonly number[])[] {
    const { input } = this.body as { input?: string | number[] | (string | number[])[] };
    if (typeof input === "string") return [input];
    return typeof input?.[0] === "number" ? [input as number[]] : ((input ?? []) as (string | number[])[]);
  }

  /** How its client wants the numbers. */
  get encoding(): "float" | "base64" {
    return this.body["encoding_format"] === "base64" ? "base64" : "float";
  }

  protected with(body: Record<string, unknown>): ModelCall {
    return new EmbeddingsCall(body, this.received);
  }
}
