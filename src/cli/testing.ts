// The command line for tests: a terminal that records its output, an explicit environment, and an instance with scripted answers.
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeContext } from "./context.ts";
import { main } from "./main.ts";
import { Terminal, type Input } from "./terminal.ts";

interface RanCommand {
  code: number;
  stdout: string;
  stderr: string;
}

interface TestCli extends AsyncDisposable {
  home: string;
  /** Runs one command line with the given environment only. */
  run(words: string[], env?: Record<string, string>, stdin?: string | Input): Promise<RanCommand>;
  requests: { method: string; url: string; authorization: string | undefined; body: unknown }[];
}

export const testNow = Date.parse("2026-01-02T00:00:00Z");

type Answer = (request: {
  method: string;
  url: string;
  body: unknown;
}) => { status?: number; body?: unknown; events?: unknown[]; text?: string } | undefined;

/** `answer` plays the instance's API; undefined becomes 404. */
export async function testCli(answer: Answer = () => undefined): Promise<TestCli> {
  const home = mkdtempSync(join(tmpdir(), "lineshaft-cli-"));
  const requests: TestCli["requests"] = [];
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const chunk of request) text += String(chunk);
    const isJson = request.headers["content-type"] === "application/json";
    const body: unknown = text === "" ? undefined : isJson ? (JSON.parse(text) as unknown) : text;
    const seen = { method: request.method!, url: request.url!, body };
    requests.push({ ...seen, authorization: request.headers.authorization });
    const {
      status = 200,
      body: answered,
      events,
      text: raw,
    } = answer(seen) ?? {
      status: 404,
      events: undefined,
      text: undefined,
      body: {
        error: { code: "not_found", message: `There is no ${seen.url}.`, hint: "Look again.", request_id: "req_1" },
      },
    };
    if (events) {
      response.writeHead(200, { "content-type": "text/event-stream" });
      return response.end(events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join(""));
    }
    if (raw !== undefined) return response.writeHead(status).end(raw);
    return response
      .writeHead(status, { "content-type": "application/json" })
      .end(answered === undefined ? "" : JSON.stringify(answered));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    home,
    requests,
    async run(words, env = { LINESHAFT_URL: url, LINESHAFT_KEY: "lsk_test" }, stdin = "") {
      let stdout = "";
      let stderr = "";
      const terminal = new Terminal({
        stdout: { write: (text) => (stdout += text) },
        stderr: { write: (text) => (stderr += text) },
        stdin: typeof stdin === "string" ? Readable.from([stdin]) : stdin,
        env: { LINESHAFT_HOME: home, ...env },
        now: () => testNow,
      });
      const code = await main(words, makeContext(terminal, new AbortController().signal));
      process.exitCode = undefined;
      return { code, stdout, stderr };
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      rmSync(home, { recursive: true, force: true });
    },
  };
}

/** The arguments of an example in the help, without a pipe before it and without npm's own words. */
export function shellWords(example: string): string[] {
  const own = example.slice(example.lastIndexOf("|") + 1).trim();
  const words = [...own.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(
    ([, double, single, bare]) => double ?? single ?? bare!,
  );
  if (words[0] === "npm") return ["up", ...(words.includes("--") ? words.slice(words.indexOf("--") + 1) : [])];
  return words.slice(2);
}
