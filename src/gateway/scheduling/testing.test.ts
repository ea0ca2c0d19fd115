// The engines without a network that this room's tests use keep what every KvEngine promises.
import { kvSuite } from "../../engines/kvSuite.ts";
import { PuppetEngine } from "./testing.ts";

kvSuite("the puppet", async () => {
  const puppet = new PuppetEngine("puppet", [], 8);
  let epoch = 1;
  let sequence = 0;
  const send = async () => {
    const block = sequence.toString(16).padStart(16, "0");
    puppet.send({ type: "stored", epoch: `e${epoch}`, sequence: sequence++, tier: "device", blocks: [block] });
  };
  return {
    kv: puppet,
    abilities: { hints: true, facts: true, prefill: true, erases: true },
    async publish(count) {
      for (let event = 0; event < count; event++) await send();
    },
    async restart() {
      epoch++;
      sequence = 0;
      await send();
    },
    [Symbol.asyncDispose]: () => puppet.close(),
  };
});
