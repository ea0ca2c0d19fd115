// The official OpenAI client against the whole server, unchanged.
import { describe, expect, test } from "vitest";
import { testGateway } from "../api/testing.ts";

const hello = { model: "scripted", messages: [{ role: "user" as const, content: "hi" }] };

describe("the official client", () => {
  test("a whole answer, priced in its headers", async () => {
    await using at = await testGateway();
    const { data, response } = await at.client().chat.completions.create(hello).withResponse();
    expect(data.choices[0]!.message.content).toBe("Hello, world.");
    expect(data.usage).toMatchObject({ prompt_tokens: 10, completion_tokens: 4 });
    expect(response.headers.get("x-lineshaft-price-nano")).toBe(String(10 * 3 + 4 * 7));
    expect(response.headers.get("x-lineshaft-call")).toMatch(/^call_/);
    expect(response.headers.get("x-request-id")).toMatch(/^req_/);
  });

  test("a stream hides the usage chunk unless it was asked for", async () => {
    await using at = await testGateway();
    for (const asked of [false, true]) {
      const stream = await at.client().chat.completions.create({
        ...hello,
        stream: true,
        ...(asked && { stream_options: { include_usage: true } }),
      });
      let text = "";
      let usages = 0;
      for await (const chunk of stream) {
        text += chunk.choices[0]?.delta.content ?? "";
        if (chunk.usage) usages++;
      }
      expect([text, usages]).toEqual(["Hello, world.", asked ? 1 : 0]);
    }
    expect(at.engine.seen.map((seen) => seen.body["stream_options"])).toEqual([
      { include_usage: true },
      { include_usage: true },
    ]);
  });

  test("text completions, streamed and not", async () => {
    await using at = await testGateway();
    const whole = await at.client().completions.create({ model: "scripted", prompt: "Once" });
    expect(whole.choices[0]!.text).toBe("Hello, world.");
    let text = "";
    for await (const chunk of await at.client().completions.create({ model: "scripted", prompt: "Once", stream: true }))
      text += chunk.choices[0]?.text ?? "";
    expect(text).toBe("Hello, world.");
  });

  test("a large prompt arrives whole, in ASCII and beyond", async () => {
    await using at = await testGateway();
    for (const character of ["x", "\u00fc"])
      for (const stream of [false, true]) {
        const content = `say "${character}"\n`.repeat(40_000);
        const answer = await at.client().chat.completions.create({
          model: "scripted",
          max_tokens: 5,
          messages: [{ role: "user" as const, content }],
          stream,
        });
        if ("controller" in answer) for await (const _ of answer);
        expect(at.engine.seen.at(-1)!.body).toMatchObject({ model: "scripted", messages: [{ role: "user", content }] });
        expect(at.engine.seen.at(-1)!.headers["transfer-encoding"]).toBeUndefined();
      }
  });

  test("models are listed and found by name", async () => {
    await using at = await testGateway();
    const names: string[] = [];
    for await (const model of at.client().models.list()) names.push(model.id);
    expect(names).toEqual(["scripted"]);
    expect((await at.client().models.retrieve("scripted")).id).toBe("scripted");
  });
});
