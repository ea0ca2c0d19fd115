// Calls for tests, from the fields of a body that matter to the test. They are not judged by a schema: `decode` is tested by suite.ts.
import type { ModelCall } from "../modelCall.ts";
import { ChatCall } from "./chat/call.ts";
import { CompletionsCall } from "./completions/call.ts";
import type { Protocol, ReceivedRequest } from "./types.ts";

export const chatOf = (fields: object): ModelCall => new ChatCall({ model: "m", messages: [], ...fields }, undefined);

export const completionOf = (fields: object): ModelCall =>
  new CompletionsCall({ model: "m", prompt: "", ...fields }, undefined);

/** The call that a body is decoded to, as if it had come over HTTP. `came`: the bytes that it was parsed from; its JSON where absent. */
export function decodeAs(
  protocol: Protocol,
  json: unknown,
  came: Pick<ReceivedRequest, "bytes" | "members"> = { bytes: Buffer.from(JSON.stringify(json)) },
): ModelCall {
  const [route] = protocol.calls;
  return protocol.decode({
    route: route!,
    model: undefined,
    path: route!.path,
    query: new URLSearchParams(),
    headers: {},
    ...came,
    json,
  });
}
