// A text completion as a ModelCall.
import type { Prompt, RegisteredEndpoint } from "../../../engines/index.ts";
import type { ModelCall } from "../../modelCall.ts";
import { OpenAiCall } from "../openai/call.ts";
import { bytesOfMembers } from "../promptBytes.ts";
import { checkStreamOptions } from "../openai/keys.ts";
import { shapeAt } from "../spoken.ts";

export class CompletionsCall extends OpenAiCall {
  readonly shape = "completions";
  readonly tools = [];
  readonly toolChoice = undefined;
  readonly parallelTools = undefined;
  readonly format = undefined;
  readonly media = [];

  get prompt(): Prompt {
    const { prompt } = this.body as { prompt?: string | number[] | (string | number[])[] };
    if (typeof prompt === "string") return { kind: "text", text: prompt };
    if (typeof prompt?.[0] === "number") return { kind: "tokens", tokens: prompt as number[] };
    return { kind: "list", prompts: (prompt ?? []) as (string | number[])[] };
  }

  promptBytes(): readonly Uint8Array[] | undefined {
    return this.prompt.kind === "list" ? undefined : bytesOfMembers(this.received, ["prompt"]);
  }

  fitted(endpoint: RegisteredEndpoint): ModelCall {
    shapeAt(this, endpoint);
    const body = this.fittedBody(endpoint);
    checkStreamOptions(body);
    return body === this.body ? this : new CompletionsCall(body, this.received);
  }

  withMedia(): ModelCall {
    return this;
  }
}
