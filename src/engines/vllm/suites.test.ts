// vLLM behind the adapter of OpenAI-compatible endpoints does what every engine does, and its events what every KvEngine's do.
import { engineSuite, scriptedSubject } from "../suite.ts";
import { kvSuite } from "../kvSuite.ts";
import { createOpenAiEngine } from "../openai/adapter.ts";
import { scriptedVllm } from "./scriptedVllm.ts";
import { storedEvent, testPublisher } from "./testing.ts";

const credential = "key-of-the-suite";

engineSuite("vLLM", async () => {
  const server = await scriptedVllm();
  return scriptedSubject(
    createOpenAiEngine({ url: server.url, model: "scripted", key: credential }),
    credential,
    server,
  );
});

kvSuite("vLLM", async () => {
  const publisher = await testPublisher();
  const server = await scriptedVllm(publisher.address);
  const engine = createOpenAiEngine({ url: server.url, model: "scripted" });
  await engine.probe();
  let token = 0;
  const stored = () => [storedEvent([++token, token, token, token], 4)];
  return {
    kv: engine.kv!,
    abilities: { hints: false, facts: false, prefill: false, erases: false },
    async publish(count) {
      for (let event = 0; event < count; event++) await publisher.publish(stored());
    },
    // What is published next is not replayed, so that a reader has to be subscribed.
    async lose() {
      await publisher.subscribed;
      publisher.lose(stored());
    },
    async restart() {
      await publisher.subscribed;
      publisher.restart();
      await publisher.publish(stored());
    },
    async [Symbol.asyncDispose]() {
      await engine.close();
      await server[Symbol.asyncDispose]();
      await publisher[Symbol.asyncDispose]();
    },
  };
});
