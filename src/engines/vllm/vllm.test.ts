// An OpenAI-compatible endpoint that is vLLM: what is asked of it, what its calls carry, whose blocks its events are. The HTTP
// side is scripted with the real engine's answers (0.32 on CPU), the events come over real ZeroMQ sockets.
import { fieldsOfSoftware } from "../wire/chat/fields.ts";
import { createServer } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { createOpenAiEngine } from "../openai/adapter.ts";
import type { KvEvent } from "../kv.ts";
import { eventAddress, metricFacts, spokenRoutes } from "./facts.ts";
import { Salts } from "./salts.ts";
import { connectKvEvents, type KvAddress } from "./sockets.ts";
import { storedEvent, testPublisher } from "./testing.ts";

const metrics = `# HELP vllm:prompt_tokens_created Number of prefill tokens processed.
# TYPE vllm:prompt_tokens_created gauge
vllm:prompt_tokens_created{engine="0",model_name="smol"} 1.7953431911686845e+09
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{_block_size_resolved="True",block_size="32",cache_dtype="auto",engine="0",gpu_memory_utilization="0.92",kv_cache_max_concurrency="22.75",kv_cache_memory_bytes="1073741824",kv_cache_size_tokens="46592",num_cpu_blocks="None",num_gpu_blocks="1456",num_gpu_blocks_override="None",sliding_window="None"} 1.0
`;

const hints = (cacheSalt: string) => ({ attempt: "att_1", cacheSalt, project: "prj_1" });

interface ScriptedVllm {
  url: string;
  bodies: Record<string, unknown>[];
  /** The same as they came. */
  texts: string[];
  answers: Record<string, unknown>;
}

/** Answers as vLLM does; `answers` by path can be changed, one that is undefined is a 404. */
async function scriptedVllm(events?: KvAddress): Promise<ScriptedVllm> {
  const bodies: Record<string, unknown>[] = [];
  const texts: string[] = [];
  const card = {
    id: "smol",
    object: "model",
    owned_by: "vllm",
    root: "/models/smol",
    parent: null,
    max_model_len: 2048,
  };
  const answers: Record<string, unknown> = {
    "/v1/models": { object: "list", data: [card] },
    "/version": { version: "0.32.0" },
    "/metrics": metrics,
    "/tokenize": { count: 3, max_model_len: 2048, tokens: [7, 8, 9], token_strs: null },
    "/kv_event_sources": {
      "0": {
        enable_kv_cache_events: events !== undefined,
        publisher: "zmq",
        endpoint: `tcp://*:${events?.port}`,
        replay_endpoint: events?.replayPort ? `tcp://*:${events.replayPort}` : null,
        buffer_steps: 10_000,
        topic: "",
      },
    },
    "/server_info?config_format=json": { vllm_config: { scheduler_config: { max_num_seqs: 8 } } },
    "/v1/chat/completions": {
      choices: [{ message: { content: "hi" }, finish_reason: "stop" }],
      usage: { prompt_tokens: 40, completion_tokens: 1, prompt_tokens_details: { cached_tokens: 32 } },
    },
  };
  const server = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on("data", (piece: Buffer) => pieces.push(piece));
    request.on("end", () => {
      if (pieces.length > 0) texts.push(Buffer.concat(pieces).toString("utf8"));
      if (pieces.length > 0) bodies.push(JSON.parse(texts.at(-1)!) as Record<string, unknown>);
      const answer = answers[request.url!];
      response.writeHead(answer === undefined ? 404 : 200, { "content-type": "application/json" });
      response.end(typeof answer === "string" ? answer : JSON.stringify(answer ?? {}));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`, bodies, texts, answers };
}

function engineAt(url: string, model = "smol") {
  const engine = createOpenAiEngine({ url, model });
  onTestFinished(() => engine.close());
  return engine;
}

describe("what it says of itself", () => {
  test("all of it is asked: context, blocks, cache, sequences, start, events", async () => {
    await using publisher = await testPublisher();
    const { url } = await scriptedVllm(publisher.address);
    expect(await engineAt(url).probe()).toEqual({
      models: ["smol"],
      contextTokens: 2048,
      blockTokens: 32,
      epoch: "vllm/1795343191169",
      slots: 8,
      kv: { bytesPerToken: 23_045, deviceTokens: 46_592, totalTokens: 46_592, reloadMsPerToken: {} },
      capabilities: {
        speaks: ["chat", "completions", "embeddings", "rerank"],
        tokenize: true,
        kvEvents: true,
        fields: fieldsOfSoftware("vllm"),
        stops: true,
      },
    });
  });

  test("what it does not tell is left out", async () => {
    const vllm = await scriptedVllm();
    for (const path of ["/metrics", "/kv_event_sources", "/server_info?config_format=json"]) delete vllm.answers[path];
    const facts = await engineAt(vllm.url).probe();
    expect(Object.keys(facts).toSorted()).toEqual(["capabilities", "contextTokens", "models"]);
    expect(facts.capabilities.kvEvents).toBe(false);
  });

  test("events are believed in when they can be reached", async () => {
    const publisher = await testPublisher();
    const { url } = await scriptedVllm(publisher.address);
    await publisher[Symbol.asyncDispose]();
    expect((await engineAt(url).probe()).capabilities.kvEvents).toBe(false);
  });

  test("older versions: blocks counted from what there is", () => {
    const old = 'vllm:cache_config_info{block_size="16",num_gpu_blocks="27671",num_cpu_blocks="None"} 1.0\n';
    expect(metricFacts(old)).toEqual({ blockTokens: 16, kvTokens: 442_736 });
    expect(metricFacts("process_start_time_seconds 1.5e9\n")).toEqual({ epoch: "vllm/1500000000000" });
    expect(metricFacts("")).toEqual({});
  });

  test("which APIs its model answers is read from its open routes, where it publishes them", async () => {
    const vllm = await scriptedVllm();
    vllm.answers["/openapi.json"] = { paths: { "/v1/embeddings": {}, "/v1/rerank": {}, "/health": {} } };
    expect((await engineAt(vllm.url).probe()).capabilities.speaks).toEqual(["embeddings", "rerank"]);
    for (const nonsense of [{}, { paths: null }, { paths: { "/health": {} } }, { paths: "/v1/embeddings" }])
      expect(spokenRoutes(nonsense)).toBeUndefined();
  });

  test("its cached tokens are in the usage", async () => {
    const { url } = await scriptedVllm();
    const answer = await engineAt(url).open({
      shape: "chat",
      body: { model: "smol", messages: [] },
      hints: hints("org_1"),
    });
    await answer.whole();
    expect(answer.usage()).toMatchObject({ cachedTokens: 32 });
  });
});

describe("where its events are", () => {
  const source = { enable_kv_cache_events: true, publisher: "zmq", endpoint: "tcp://*:5557", replay_endpoint: null };
  test.each<[string, Record<string, unknown>, KvAddress | undefined]>([
    ["everywhere", { "0": source }, { host: "engine", port: 5557 }],
    ["somewhere else", { "0": { ...source, endpoint: "tcp://10.0.0.1:22" } }, { host: "engine", port: 22 }],
    [
      "with a replay",
      { "0": { ...source, endpoint: "tcp://[::]:5557", replay_endpoint: "tcp://*:5558" } },
      { host: "engine", port: 5557, replayPort: 5558 },
    ],
    ["switched off", { "0": { ...source, enable_kv_cache_events: false } }, undefined],
    ["within its process", { "0": { ...source, endpoint: "inproc://kv" } }, undefined],
    ["at several ranks", { "0": source, "1": source }, undefined],
    ["no port", { "0": { ...source, endpoint: "tcp://*:99999" } }, undefined],
    ["nonsense", { "0": null }, undefined],
    ["nothing", {}, undefined],
  ])("%s", (_name, sources, expected) => expect(eventAddress(sources, "engine")).toEqual(expected));
});

describe("the way there", () => {
  test("is judged as every other: metadata services and link-local addresses are refused, names are resolved first", async () => {
    for (const host of ["169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]", "0.0.0.0"])
      await expect(connectKvEvents({ host, port: 5557 })).rejects.toMatchObject({ code: "address_refused" });
    await expect(connectKvEvents({ host: "no-such-host.invalid", port: 5557 })).rejects.toMatchObject({
      code: "engine_unreachable",
    });
    await using publisher = await testPublisher();
    (await connectKvEvents({ ...publisher.address, host: "localhost" })).close();
  });

  test("another program's port is no publisher", async () => {
    const { url } = await scriptedVllm();
    const { hostname, port } = new URL(url);
    await expect(connectKvEvents({ host: hostname, port: Number(port) })).rejects.toMatchObject({
      code: "kv_events_unreachable",
    });
  });

  test("who gives up does not wait", async () => {
    const silent = createTcpServer();
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void silent.close());
    const stop = new AbortController();
    const connecting = connectKvEvents(
      { host: "127.0.0.1", port: (silent.address() as AddressInfo).port },
      stop.signal,
    );
    silent.once("connection", () => stop.abort(new Error("given up")));
    await expect(connecting).rejects.toThrow("given up");
  });
});

describe("salts", () => {
  test("every call carries its cacheSalt's, the first one too; KV and priority are not the client's to say", async () => {
    const { url, bodies } = await scriptedVllm();
    const engine = engineAt(url);
    const body = {
      model: "smol",
      messages: [],
      cache_salt: "mine",
      kv_transfer_params: { remote_host: "x" },
      priority: -9,
    };
    for (const cacheSalt of ["org_1", "org_2", "org_1"])
      await (await engine.open({ shape: "chat", body, hints: hints(cacheSalt) })).whole();
    const salts = bodies.map((sent) => sent["cache_salt"]);
    expect(salts[0]).toMatch(/^[\w-]{43}$/);
    expect(salts[2]).toBe(salts[0]);
    expect(salts[1]).not.toBe(salts[0]);
    for (const sent of bodies) expect(Object.keys(sent).toSorted()).toEqual(["cache_salt", "messages", "model"]);
  });

  test("an endpoint that is not vLLM gets no salt, and neither does one that has become something else", async () => {
    const vllm = await scriptedVllm();
    const engine = engineAt(vllm.url);
    await engine.probe();
    vllm.answers["/v1/models"] = { data: [{ id: "smol", owned_by: "somebody" }] };
    expect((await engine.probe()).capabilities.kvEvents).toBe(false);
    const body = { model: "smol", messages: [], priority: 1 };
    await (await engine.open({ shape: "chat", body, hints: hints("org_1") })).whole();
    expect(vllm.bodies.at(-1)).toEqual(body);
  });

  test("are read backwards, stay the same everywhere, and are bounded", () => {
    const recognised: string[] = [];
    const salts = new Salts(() => recognised.push("again"), 2);
    const first = salts.of("org_1");
    expect(first).not.toContain("org_1");
    expect(new Salts().of("org_1")).toBe(first);
    expect(salts.ownerOf(first)).toBe("org_1");
    for (const cacheSalt of ["org_2", "org_3"]) salts.of(cacheSalt);
    // Forgotten, so a stranger's; recognised when its project comes back.
    expect(salts.ownerOf(first)).toBe(`unknown/${first}`);
    expect(recognised).toEqual([]);
    expect(salts.of("org_1")).toBe(first);
    expect(recognised).toEqual(["again"]);
    expect(salts.ownerOf(first)).toBe("org_1");
  });
});

describe("tokens", () => {
  test("the template sees what the call would show it", async () => {
    const { url, bodies } = await scriptedVllm();
    const engine = engineAt(url);
    await engine.probe();
    const ask = async (shape: "chat" | "completions", body: Record<string, unknown>) => {
      const answer = await engine.tokenize(shape, body, "org_1");
      return { answer, asked: bodies.at(-1) };
    };
    const messages = [{ role: "user", content: "hi" }];
    expect(await ask("chat", { messages, tools: [], temperature: 1, reasoning_effort: "low" })).toEqual({
      answer: { count: 3, tokens: [7, 8, 9] },
      asked: {
        model: "smol",
        messages,
        tools: [],
        chat_template_kwargs: { reasoning_effort: "low" },
        add_generation_prompt: true,
      },
    });
    expect((await ask("chat", { messages, continue_final_message: true })).asked).toMatchObject({
      add_generation_prompt: false,
      continue_final_message: true,
    });
    expect((await ask("completions", { prompt: [4, 5] })).answer).toEqual({ count: 2, tokens: [4, 5] });
  });

  test("the conversation is asked about in the bytes that it came as", async () => {
    const { url, texts } = await scriptedVllm();
    const engine = engineAt(url);
    await engine.probe();
    const written = '[ {"role": "user", "content": "\\u0068i"} ]';
    const bytes = Buffer.from(`{"model":"m","messages":${written},"temperature":1}`);
    const object = JSON.parse(bytes.toString("utf8")) as Record<string, unknown>;
    const body = { ...object, model: "smol" };
    await engine.tokenize("chat", body, "org_1", undefined, { shape: "chat", bytes, object });
    expect(texts.at(-1)).toContain(`"messages":${written}`);
    expect(texts.at(-1)).not.toContain("temperature");
    await engine.tokenize("chat", body, "org_1");
    expect(texts.at(-1)).toContain('"messages":[{"role":"user","content":"hi"}]');
  });
});

describe("its events", () => {
  /** Events of an engine, as many as are asked for. */
  function watching(engine: ReturnType<typeof engineAt>, since?: { epoch: string; sequence: number }) {
    const stop = new AbortController();
    const reader = engine.kv!.watch(since, stop.signal)[Symbol.asyncIterator]();
    onTestFinished(() => stop.abort());
    const take = async (count: number): Promise<KvEvent[]> => {
      const events: KvEvent[] = [];
      while (events.length < count) {
        const { value, done } = await reader.next();
        if (done) break;
        events.push(value);
      }
      return events;
    };
    return { take, leave: () => reader.return!() };
  }
  const tokens = [1, 2, 3, 4];
  const salted = (salt: string, more = {}) => storedEvent(tokens, 4, { extra_keys: [[salt]], ...more });

  test("name the cacheSalt whose salt the blocks carry; a stranger's belong to no project", async () => {
    await using publisher = await testPublisher();
    const { url } = await scriptedVllm(publisher.address);
    const engine = engineAt(url);
    await engine.probe();
    await engine.tokenize("chat", { messages: [] }, "org_1");
    publisher.lose([salted(new Salts().of("org_1")), salted("else"), storedEvent(tokens, 4)]);
    publisher.lose([{ type: "BlockRemoved", block_hashes: [255n], medium: "GPU" }]);
    const events = await watching(engine).take(5);
    expect(events.map((event) => event.salt)).toEqual([undefined, "org_1", "unknown/else", undefined, undefined]);
    expect(events.map((event) => event.sequence)).toEqual([0, 1, 2, 3, 4]);
    expect(events[4]).toMatchObject({ type: "removed", tier: "device", blocks: ["00000000000000ff"] });
    expect(events[1]).toMatchObject({ tokens, parent: null });
  });

  test("are told again once an cacheSalt is known whose blocks were a stranger's", async () => {
    await using publisher = await testPublisher();
    const { url } = await scriptedVllm(publisher.address);
    const engine = engineAt(url);
    await engine.probe();
    publisher.lose([salted(new Salts().of("org_1"))]);
    const { take } = watching(engine);
    const before = await take(2);
    const more = take(2);
    await engine.tokenize("chat", { messages: [] }, "org_1");
    const after = await more;
    expect(before[1]!.salt).toMatch(/^unknown/);
    expect(after[0]).toMatchObject({ type: "cleared", sequence: 0 });
    expect(after[0]!.epoch).not.toBe(before[0]!.epoch);
    expect(after[1]).toMatchObject({ salt: "org_1", sequence: 1 });
  });

  test("go on where a reader left, and from the beginning for one who asks for anything else", async () => {
    await using publisher = await testPublisher();
    const { url } = await scriptedVllm(publisher.address);
    const engine = engineAt(url);
    await engine.probe();
    publisher.lose([salted("a"), salted("b")]);
    const first = watching(engine);
    const told = await first.take(3);
    await first.leave();
    publisher.lose([salted("c")]);
    const { epoch } = told[0]!;
    const second = watching(engine, { epoch, sequence: 3 });
    expect(await second.take(1)).toMatchObject([{ type: "stored", epoch, sequence: 3, salt: "unknown/c" }]);
    await second.leave();
    const third = await watching(engine, { epoch, sequence: 3 }).take(4);
    expect(third.map((event) => [event.type, event.sequence])).toEqual([
      ["cleared", 0],
      ["stored", 1],
      ["stored", 2],
      ["stored", 3],
    ]);
    expect(third[0]!.epoch).not.toBe(epoch);
  });

  test("of another adapter on the same base model are left out", async () => {
    await using publisher = await testPublisher();
    const vllm = await scriptedVllm(publisher.address);
    const list = vllm.answers["/v1/models"] as { data: object[] };
    list.data.push({ id: "tuned", owned_by: "vllm", parent: "smol" });
    publisher.lose([salted("s"), salted("s", { lora_name: "tuned", extra_keys: [["tuned", "s"]] })]);
    const { blocks: plain } = (await watchedBy("smol"))[1]!;
    const { blocks: tuned } = (await watchedBy("tuned"))[1]!;
    expect(plain).not.toEqual(tuned);

    async function watchedBy(model: string) {
      const engine = engineAt(vllm.url, model);
      await engine.probe();
      return watching(engine).take(2);
    }
  });

  test("cannot be asked for before the endpoint was looked at, and end at once where it publishes none", async () => {
    const { url } = await scriptedVllm();
    const engine = engineAt(url);
    expect(engine.kv).toBeUndefined();
    await engine.probe();
    expect(await watching(engine).take(1)).toEqual([]);
  });
});
