// Calls for tests, from the fields of a body that matter to the test. They are not judged by a schema: `decode` is tested by suite.ts.
import type { ModelCall } from "../modelCall.ts";
import { ChatCall } from "./chat/call.ts";
import { CompletionsCall } from "./completions/call.ts";

export const chatOf = (fields: object): ModelCall => new ChatCall({ model: "m", messages: [], ...fields }, undefined);

export const completionOf = (fields: object): ModelCall =>
  new CompletionsCall({ model: "m", prompt: "", ...fields }, undefined);
