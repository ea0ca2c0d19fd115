// `lineshaft calibrate` against an endpoint that streams like an engine and takes one turn of the event loop for each token.
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { profileSchema } from "../simulator/index.ts";
import { testCli } from "./testing.ts";

interface Asked {
  prompt: string;
  max_tokens: number;
  ignore_eos?: boolean;
}

/** An engine that counts words as tokens. `before` may answer instead. */
async function engine(before: (asked: Asked, response: ServerResponse) => boolean = () => false, usage = true) {
  const asked: (Asked & { authorization: string | undefined })[] = [];
  const server = createServer(async (request: IncomingMessage, response) => {
    let text = "";
    for await (const piece of request) text += String(piece);
    const body = JSON.parse(text) as Asked;
    asked.push({ ...body, authorization: request.headers.authorization });
    if (before(body, response)) return;
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (let i = 0; i < body.max_tokens; i++) {
      response.write(`data: ${JSON.stringify({ choices: [{ text: "a" }] })}\n\n`);
      await turn();
    }
    const counts = { prompt_tokens: body.prompt.split(" ").length, completion_tokens: body.max_tokens };
    if (usage) response.write(`data: ${JSON.stringify({ choices: [], usage: counts })}\n\n`);
    response.end("data: [DONE]\n\n");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  return { asked, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1` };
}

const small = ["--like", "cpu-smollm2-135m", "--prompts", "16,32", "--batches", "1,2", "--repetitions", "1"];

test("measures prompts, batches and prompts beside batches, and writes a profile that the simulator reads", async () => {
  await using cli = await testCli();
  const { asked, url } = await engine();
  const out = join(cli.home, "engine.json");
  const words = ["calibrate", "--url", url, "--model", "m", "--out", out, "--slots", "4", ...small];
  const ran = await cli.run([...words, "--key-env", "ENGINE_KEY", "--output-tokens", "4"], {
    ENGINE_KEY: "secret-key",
  });
  expect(ran).toMatchObject({ code: 0 });
  expect(ran.stdout).toMatch(/prompt of \d+ .*\n/);
  expect(ran.stdout).toMatch(/a token, 2 decoding at \d+ /);
  expect(ran.stdout + ran.stderr).not.toContain("secret-key");
  const profile = profileSchema.parse(JSON.parse(readFileSync(out, "utf8")));
  expect(profile).toMatchObject({ model: "m", maxSequences: 4, kvBytesPerToken: 23_000 });
  expect(asked.every(({ authorization }) => authorization === "Bearer secret-key")).toBe(true);
  // No prompt may hit a cache.
  expect(new Set(asked.map(({ prompt }) => prompt.split(" ").slice(0, 3).join(" "))).size).toBe(asked.length);
  expect(ran.stderr).toContain(out);
});

test("an endpoint that refuses ignore_eos is asked without", async () => {
  await using cli = await testCli();
  const { asked, url } = await engine((body, response) => {
    if (body.ignore_eos === undefined) return false;
    response.writeHead(400).end("unknown field");
    return true;
  });
  const words = ["calibrate", "--url", url, "--model", "m", "--out", join(cli.home, "p.json"), "--json", ...small];
  const ran = await cli.run(words);
  expect(ran.code).toBe(0);
  expect(JSON.parse(ran.stdout)).toMatchObject({ profile: { model: "m" } });
  expect(asked.filter((body) => body.ignore_eos).length).toBeLessThanOrEqual(2);
});

test.each([
  ["a key that is not set", ["--key-env", "MISSING_KEY"], 2, "MISSING_KEY is not set"],
  ["a profile that is not there", ["--like", "nonesuch"], 1, 'There is no profile "nonesuch"'],
  ["a count that cannot be", ["--slots", "1.5"], 1, "maxSequences"],
  ["one length alone", ["--prompts", "16"], 1, "at least two different prompt lengths"],
  ["an empty batch", ["--batches", "0,2"], 1, "batches: 0 cannot be measured"],
  ["no repetition", ["--repetitions", "0"], 1, "repetitions: 0 cannot be measured"],
])("%s is told before the endpoint is asked", async (_name, more, code, text) => {
  await using cli = await testCli();
  const { asked, url } = await engine();
  const out = join(cli.home, "p.json");
  const ran = await cli.run(["calibrate", "--url", url, "--model", "m", "--out", out, ...small, ...more], {});
  expect(ran.code).toBe(code);
  expect(ran.stderr).toContain(text);
  expect(asked).toEqual([]);
});

test("what the endpoint does wrong is told with what to do", async () => {
  await using cli = await testCli();
  const run = (url: string) =>
    cli.run(["calibrate", "--url", url, "--model", "m", "--out", join(cli.home, "p.json"), ...small]);
  const refusing = await engine((_body, response) => {
    response.writeHead(404).end("no such model");
    return true;
  });
  expect((await run(refusing.url)).stderr).toMatch(/answered 404: no such model[\s\S]*model's name/);
  const breaking = await engine((body, response) => {
    if (body.max_tokens < 90) return false;
    response.writeHead(200).end('data: {"choices":[{"text":"a"}]}\n\ndata: {"error":{"message":"out of memory"}}\n\n');
    return true;
  });
  expect((await run(breaking.url)).stderr).toMatch(/broke off its answer: out of memory/);
  const silent = await engine(undefined, false);
  expect((await run(silent.url)).stderr).toMatch(/reported no token counts[\s\S]*include_usage/);
  expect((await run("http://127.0.0.1:9/v1")).stderr).toMatch(/cannot be reached/);
});
