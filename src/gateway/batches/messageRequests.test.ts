// How the body of a batch of messages is cut into requests: what JSON.parse finds there, and refusals by the place at fault.
import fc from "fast-check";
import { expect, test } from "vitest";
import { limits } from "../limits.ts";
import { messageRequests, requestsIn } from "./messageRequests.ts";
import { runs } from "../../../test/setup/runs.ts";

const request = (id: string, params: unknown = { model: "m" }) => ({ custom_id: id, params });

test("the elements are those that JSON.parse finds, however the text is spaced", () => {
  const spaced = (value: unknown): fc.Arbitrary<string> =>
    fc.constantFrom(undefined, 1, "\t").map((space) => JSON.stringify(value, undefined, space));
  fc.assert(
    fc.property(
      fc.array(fc.jsonValue()).chain((requests) => spaced({ requests }).map((text) => ({ requests, text }))),
      ({ requests, text }) => {
        const found = [...requestsIn(text)].map((one) => JSON.parse(one) as unknown);
        expect(found).toEqual(JSON.parse(JSON.stringify(requests)));
      },
    ),
    { numRuns: runs(150) },
  );
});

test("requests keep their order, their ids and their bodies", async () => {
  const params = { model: "m", text: '"]},{\\"', list: [[], {}, "a\\"] };
  const text = JSON.stringify({ requests: [request("a"), request("b", params)] });
  expect(await messageRequests(text)).toEqual([
    { number: 1, customId: "a", body: '{"model":"m"}' },
    { number: 2, customId: "b", body: JSON.stringify(params) },
  ]);
});

test.each<[string, unknown, string]>([
  ["no body", "", "body"],
  ["no object", [], "body"],
  ["an open list", `{"requests":[${JSON.stringify(request("a"))}`, "body"],
  ["a comma too many", `{"requests":[${JSON.stringify(request("a"))},]}`, "body"],
  ["a comma too few", `{"requests":[${JSON.stringify(request("a"))}{}]}`, "body"],
  ["more after it", '{"requests":[]}x', "body"],
  ["another member", { wish: 1 }, "wish"],
  ["another member after it", { requests: [request("a")], wish: 1 }, "wish"],
  ["no list", { requests: {} }, "requests"],
  ["no request", { requests: [] }, "requests"],
  ["no JSON", '{"requests":[{custom_id}]}', "requests[0]"],
  ["no object in it", { requests: [request("a"), 5] }, "requests[1]"],
  ["an unknown member", { requests: [{ ...request("a"), wish: 1 }] }, "requests[0].wish"],
  ["no id", { requests: [{ params: {} }] }, "requests[0].custom_id"],
  ["a long id", { requests: [request("x".repeat(limits.customIdCharacters + 1))] }, "requests[0].custom_id"],
  ["a used id", { requests: [request("a"), request("a")] }, "requests[1].custom_id"],
  ["an id that cannot be stored", { requests: [request("\0")] }, "requests[0].custom_id"],
  ["no params", { requests: [{ custom_id: "a" }] }, "requests[0].params"],
  ["params that are a list", { requests: [request("a", [])] }, "requests[0].params"],
  ["one that is too long", { requests: [request("a", { x: "x".repeat(limits.batchLineBytes) })] }, "requests[0]"],
])("a body with %s is refused by its place", async (_, body, param) => {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const refused = await messageRequests(text).then(
    () => undefined,
    (error: { code: string; param?: string }) => error,
  );
  expect(refused).toMatchObject(param === "body" ? { code: "invalid_json" } : { code: "invalid_value", param });
});

test("a batch has at most as many requests as a file has lines", async () => {
  const requests = Array.from({ length: limits.batchLinesMost + 1 }, (_, id) => request(String(id)));
  await expect(messageRequests(JSON.stringify({ requests }))).rejects.toMatchObject({ param: "requests" });
});

test("a few large requests give the event loop its turns too", async () => {
  const requests = Array.from({ length: 16 }, (_, id) => request(String(id), { x: "x".repeat(300_000) }));
  const text = JSON.stringify({ requests });
  let turns = 0;
  let isDone = false;
  const turn = () => {
    turns++;
    if (!isDone) setImmediate(turn);
  };
  setImmediate(turn);
  await messageRequests(text);
  isDone = true;
  expect(turns).toBeGreaterThanOrEqual(16);
});

test("the end of a request that is too long is not looked for", () => {
  const text = `{"requests":[[${"1,".repeat(limits.batchLineBytes)}`;
  const [first] = requestsIn(text);
  expect(first!.length).toBe(limits.batchLineBytes + 1);
});
