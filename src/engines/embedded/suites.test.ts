// The embedded worker's adapter, over a scripted worker, does what every engine and every KvEngine does. The same against a real worker
// with a real model is in adapter.test.ts.
import { kvSuite } from "../kvSuite.ts";
import { engineSuite, scriptedSubject } from "../suite.ts";
import { createEmbeddedEngine } from "./adapter.ts";
import { scriptedWorker } from "./testing/scriptedWorker.ts";

const token = "token-of-the-suite";

engineSuite("the embedded worker", async () => {
  const server = await scriptedWorker();
  return scriptedSubject(createEmbeddedEngine({ url: server.url, token }), token, server);
});

kvSuite("the embedded worker", async () => {
  const server = await scriptedWorker();
  const engine = createEmbeddedEngine({ url: server.url, token });
  return {
    kv: engine.kv,
    abilities: { hints: true, facts: true, prefill: true, erases: true },
    publish: async (count) => server.publish(count),
    restart: async () => server.restart(),
    async [Symbol.asyncDispose]() {
      await engine.close();
      await server[Symbol.asyncDispose]();
    },
  };
});
