// A model for thousands of runs: it reads the exceeded limit out of the example agent's prompt and answers the decision at once, in
// OpenAI's shape. It runs in the test's own process, so it outlives everything that the test kills.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface ScriptedModel extends AsyncDisposable {
  /** Base address up to and with `/v1`. */
  url: string;
}

/** Words of the panel's report, and the failure mode that each means. */
const modes: [RegExp, string][] = [
  [/heat dissipation limit/, "heat_dissipation"],
  [/power limit/, "power"],
  [/overstrain limit/, "overstrain"],
  [/tool wear limit/, "tool_wear"],
];

export async function scriptedModel(): Promise<ScriptedModel> {
  const server = createServer((request, response) => {
    let text = "";
    request.on("data", (piece: Buffer) => (text += piece.toString()));
    request.on("end", () => {
      const send = (status: number, body: unknown) =>
        response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
      if (request.url === "/v1/models")
        return send(200, { object: "list", data: [{ id: "scripted", object: "model" }] });
      if (request.url !== "/v1/chat/completions") return send(404, { error: { message: "There is no such route." } });
      const { messages, stream } = JSON.parse(text) as { messages: { content: string }[]; stream?: boolean };
      const content = JSON.stringify(decisionOn(messages.at(-1)!.content));
      const usage = { prompt_tokens: 100, completion_tokens: 20, total_tokens: 120 };
      if (stream !== true)
        return send(200, {
          id: "chatcmpl-scripted",
          object: "chat.completion",
          choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }],
          usage,
        });
      const chunk = (of: object) =>
        `data: ${JSON.stringify({ id: "chatcmpl-scripted", object: "chat.completion.chunk", ...of })}\n\n`;
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(chunk({ choices: [{ index: 0, delta: { role: "assistant", content }, finish_reason: null }] }));
      response.write(chunk({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] }));
      response.end(`${chunk({ choices: [], usage })}data: [DONE]\n\n`);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function decisionOn(report: string): { failure_mode: string; reason: string } {
  const found = modes.find(([words]) => words.test(report));
  return { failure_mode: found?.[1] ?? "none", reason: "The panel says so." };
}
