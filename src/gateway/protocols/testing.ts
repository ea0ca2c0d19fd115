// Calls for tests, from the fields of a body that matter to the test. They are not judged by a schema: `decode` is tested by suite.ts.
import type { ModelCall } from "../modelCall.ts";
import { ChatCall } from "./chat/call.ts";
import { CompletionsCall } from "./completions/call.ts";
import type { Protocol } from "./types.ts";

export const chatOf = (fields: object): ModelCall => new ChatCall({ model: "m", messages: [], ...fields }, undefined);

export const completionOf = (fields: object): ModelCall =>
  new CompletionsCall({ model: "m", prompt: "", ...fields }, undefined);

/** The call that a body is decoded to, as if it had come over HTTP. */
export function decodeAs(protocol: Protocol, json: unknown): ModelCall {
  const text = JSON.stringify(json);
  const [route] = protocol.calls;
  return protocol.decode({
    route: route!,
    model: undefined,
    path: route!.path,
    query: new URLSearchParams(),
    headers: {},
    bytes: Buffer.from(text),
    json,
  });
}
