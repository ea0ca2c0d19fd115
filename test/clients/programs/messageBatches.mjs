// A batch by the official Anthropic client: created, waited for, read, listed, and deleted; another one is cancelled.
import Anthropic from "@anthropic-ai/sdk";

const { ADDRESS, KEY, MODEL } = process.env;
const client = new Anthropic({ baseURL: ADDRESS, apiKey: KEY, maxRetries: 0 });
const said = {};
const request = (custom_id, more = {}) => ({
  custom_id,
  params: { model: MODEL, max_tokens: 1_000, messages: [{ role: "user", content: `Name a ${custom_id}.` }], ...more },
});
const ended = async (id) => {
  for (;;) {
    const batch = await client.messages.batches.retrieve(id);
    if (batch.processing_status === "ended") return batch;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
};
const made = await client.messages.batches.create({
  requests: [request("fruit"), request("metal"), request("nothing", { model: "no-such-model" })],
});
said.made = { status: made.processing_status, counts: made.request_counts };
said.counts = (await ended(made.id)).request_counts;
said.results = {};
for await (const { custom_id, result } of await client.messages.batches.results(made.id))
  said.results[custom_id] = result.message?.content[0].text ?? result.error?.error.type ?? result.type;
const other = await client.beta.messages.batches.create({ requests: [request("fruit")], betas: ["some-beta"] });
await ended(other.id);
said.listed = [];
for await (const batch of client.messages.batches.list({ limit: 1 })) said.listed.push(batch.id);
said.expected = [other.id, made.id];
said.cancelled = await client.messages.batches.cancel(other.id).then(
  ({ processing_status }) => processing_status,
  ({ status }) => status,
);
said.deleted = (await client.messages.batches.delete(made.id)).type;
said.gone = await client.messages.batches.retrieve(made.id).then(
  () => undefined,
  ({ status }) => status,
);
said.refused = await client.messages.batches.create({ requests: [request("a"), request("a")] }).then(
  () => undefined,
  ({ status, message }) => ({ status, message }),
);
console.log(JSON.stringify(said));
