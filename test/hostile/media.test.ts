// Media that messages name: fetched by Lineshaft, once, from public addresses alone, and sent as data; anything else is refused
// before an engine is asked.
import { createServer } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, test } from "vitest";
import { createOpenAiEngine } from "../../src/engines/index.ts";
import { scriptedEngine } from "../../src/engines/testing.ts";
import { rows, testGateway } from "../../src/api/testing.ts";
import type { TestGateway } from "../../src/api/testing.ts";

const png = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
  "base64",
);
const dataOf = (bytes: Buffer, type = "image/png") => `data:${type};base64,${bytes.toString("base64")}`;

/** A host of pictures on loopback, which counts what it is asked. */
async function pictures() {
  const asked: string[] = [];
  const server: Server = createServer((request, response) => {
    asked.push(request.url!);
    if (request.url === "/moved") return void response.writeHead(302, { location: "/a.png" }).end();
    if (request.url === "/gone") return void response.writeHead(404).end();
    if (request.url === "/page") return void response.writeHead(200, { "content-type": "text/html" }).end("<p>");
    if (request.url === "/false.png")
      return void response.writeHead(200, { "content-type": "image/png" }).end("GIF89a");
    response.writeHead(200, { "content-type": "image/png" });
    if (request.url !== "/endless") return void response.end(png);
    const send = () => {
      while (!response.destroyed && response.write(Buffer.alloc(65_536)));
      response.once("drain", send);
    };
    send();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    asked,
    port,
    url: (path: string) => `http://127.0.0.1:${port}${path}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const imageOf = (url: string) => ({ type: "image_url", image_url: { url } });
const saying = (...parts: object[]) => ({
  model: "scripted",
  max_tokens: 10,
  messages: [{ role: "user", content: [{ type: "text", text: "What is this?" }, ...parts] }],
});
const chat = (at: TestGateway, body: object) =>
  at.request("/v1/chat/completions", { method: "POST", body: JSON.stringify(body) });

describe("an address in a message", () => {
  test("is fetched once for all attempts, named twice or not, and every engine is sent the data", async () => {
    await using host = await pictures();
    await using at = await testGateway({ media: { privateHosts: [`127.0.0.1:${host.port}`] } });
    await using second = await scriptedEngine();
    at.engines.add("scripted", createOpenAiEngine({ url: second.url, model: "scripted" }), {
      kind: "openai",
      model: "scripted",
      endpoint: "second",
    });
    at.engines.configure("scripted", { placement: "round-robin" });
    at.engine.next({ fail: { status: 500 } });
    const padding = { type: "text", text: "x".repeat(20_000) };
    const body = saying(imageOf(host.url("/a.png")), padding, imageOf(host.url("/a.png#again")));
    expect((await chat(at, body)).status).toBe(200);
    expect((await rows(at)).attempts).toHaveLength(2);
    expect(host.asked).toEqual(["/a.png", "/a.png"]);
    for (const { text, body: sent } of [at.engine.seen[0]!, second.seen[0]!]) {
      expect(text).not.toContain("127.0.0.1");
      const [{ content }] = sent["messages"] as [{ content: Record<string, unknown>[] }];
      expect(content.map((part) => part["image_url"]).filter(Boolean)).toEqual([
        { url: dataOf(png) },
        { url: dataOf(png) },
      ]);
    }
  });

  test.each([
    ["loopback", "http://127.0.0.1:1/a.png"],
    ["loopback by name", "http://localhost:1/a.png"],
    ["loopback in another notation", "http://2130706433:1/a.png"],
    ["loopback inside IPv6", "http://[::ffff:127.0.0.1]:1/a.png"],
    ["a private network", "http://10.0.0.1/a.png"],
    ["a private network of carriers", "http://100.64.1.1/a.png"],
    ["metadata", "http://169.254.169.254/latest/meta-data/"],
    ["metadata by IPv6", "http://[fd00:ec2::254]/latest/"],
  ])("of %s is refused as one that is not public", async (_name, url) => {
    await using at = await testGateway();
    const { status, body } = await chat(at, saying(imageOf(url)));
    expect(status).toBe(400);
    expect(body.error).toMatchObject({ code: "media_unavailable", param: "messages[0].content[1].image_url.url" });
    expect(body.error.message).toContain("not at a public address");
    expect(at.engine.seen).toHaveLength(0);
    expect((await rows(at)).settlements).toHaveLength(0);
  });

  test.each([
    "file:///etc/passwd",
    "/etc/passwd",
    "ftp://example.com/a.png",
    "s3://bucket/a.png",
    "javascript:1",
    "a.png",
    "http://user:secret@example.com/a.png",
    `https://example.com/${"x".repeat(9_000)}`,
    "data:text/html;base64,PHA+",
    "data:image/svg+xml;base64,PHN2Zz4=",
    "data:image/png,plain",
    `data:image/png;base64,${Buffer.from("<svg>").toString("base64")}`,
  ])("%s is refused", async (url) => {
    await using at = await testGateway();
    const { status, body } = await chat(at, saying(imageOf(url)));
    expect(status).toBe(400);
    expect(body.error).toMatchObject({ code: "invalid_value", param: "messages[0].content[1].image_url.url" });
    expect(at.engine.seen).toHaveLength(0);
  });

  test.each([
    ["/moved", "redirect"],
    ["/gone", "404"],
    ["/page", "text/html"],
    ["/false.png", "something else"],
    ["/endless", "larger"],
  ])("that answers with %s is refused, and what it sends is not read on", async (path, why) => {
    await using host = await pictures();
    await using at = await testGateway({ media: { privateHosts: [`127.0.0.1:${host.port}`] } });
    const { status, body } = await chat(at, saying(imageOf(host.url(path))));
    expect(status).toBe(400);
    expect(body.error.message).toContain(why);
    expect(host.asked).toEqual([path]);
    expect(at.engine.seen).toHaveLength(0);
  });

  test("is not fetched for a key that is not known, nor for a model that there is not", async () => {
    await using host = await pictures();
    await using at = await testGateway({ media: { privateHosts: [`127.0.0.1:${host.port}`] } });
    const body = JSON.stringify(saying(imageOf(host.url("/a.png"))));
    const headers = { authorization: "Bearer lsk_wrong" };
    expect((await at.request("/v1/chat/completions", { method: "POST", body, headers })).status).toBe(401);
    expect((await chat(at, { ...saying(imageOf(host.url("/a.png"))), model: "none" })).status).toBe(404);
    expect(host.asked).toEqual([]);
  });
});

test("a key fetches for so many calls at once; one more is told to try again, and nothing is left behind", async () => {
  let release = () => {};
  const wait = new Promise<void>((resolve) => (release = resolve));
  let asked = 0;
  const allAsked = Promise.withResolvers<void>();
  const server = createServer((_request, response) => {
    if (++asked === 4) allAsked.resolve();
    void wait.then(() => response.writeHead(200, { "content-type": "image/png" }).end(png));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await using at = await testGateway({ media: { privateHosts: [`127.0.0.1:${port}`] } });
  const one = () => chat(at, saying(imageOf(`http://127.0.0.1:${port}/a.png`)));
  const waiting = [one(), one(), one(), one()];
  await allAsked.promise;
  expect(await one()).toMatchObject({ status: 429, body: { error: { code: "media_busy" } } });
  release();
  expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual([200, 200, 200, 200]);
  expect((await one()).status).toBe(200);
  server.close();
});

describe("media inside a message", () => {
  test("pass as they are, and are held for as media, not as so many bytes of text", async () => {
    await using at = await testGateway();
    const large = dataOf(Buffer.concat([png, Buffer.alloc(1_000_000)]));
    expect((await chat(at, saying(imageOf(large)))).status).toBe(200);
    expect(at.engine.seen[0]!.text).toContain(large);
    const { settlements } = await rows(at);
    expect(settlements[0]!["held_nano"]).toBeLessThan(10_000n * 3n);
    expect(settlements[0]!["held_nano"]).toBeGreaterThan(8_192n * 3n);
  });

  test("sound is base64 of a known format", async () => {
    await using at = await testGateway();
    const audio = (input_audio: object) => saying({ type: "input_audio", input_audio });
    expect((await chat(at, audio({ data: "UklGRg==", format: "wav" }))).status).toBe(200);
    for (const wrong of [
      { data: "http://127.0.0.1/a", format: "wav" },
      { data: "UklGRg==", format: "exe" },
      { data: 5 },
    ])
      expect((await chat(at, audio(wrong))).status).toBe(400);
    expect(at.engine.seen).toHaveLength(1);
  });

  test("a file that a provider keeps, an unknown part and an unknown key are refused by name", async () => {
    await using at = await testGateway();
    for (const [part, param] of [
      [{ type: "file", file: { file_id: "file-1" } }, "messages[0].content[1].file.file_id"],
      [{ type: "image_url", image_url: { url: dataOf(png), uuid: "a" } }, "messages[0].content[1].image_url.uuid"],
      [{ type: "image_file", image_file: { path: "/a" } }, "messages[0].content[1].type"],
      [{ type: "image_url", image_url: "file:///a" }, "messages[0].content[1].image_url"],
      [{ type: "text", text: "a", image_url: { url: "file:///a" } }, "messages[0].content[1].image_url"],
    ] as [object, string][])
      expect((await chat(at, saying(part))).body.error).toMatchObject({ param });
    expect(at.engine.seen).toHaveLength(0);
  });

  test("an engine that reads text alone refuses them by name", async () => {
    await using at = await testGateway();
    const endpoint = at.engines.resolve("scripted")!;
    const facts = await at.engines.probe(endpoint);
    endpoint.facts = { ...facts, capabilities: { ...facts.capabilities, media: [] } };
    const { status, body } = await chat(at, saying(imageOf("http://example.com/a.png")));
    expect(status).toBe(400);
    expect(body.error).toMatchObject({ code: "media_not_read", param: "messages[0].content[1]" });
    expect(body.error.message).toContain("scripted");
  });
});
