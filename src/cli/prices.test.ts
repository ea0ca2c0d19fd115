// Prices as a person types them become the API's integers; what cannot be read sends nothing.
import { expect, test } from "vitest";
import { testCli } from "./testing.ts";

const status = { organisation: { currency: "EUR" } };
const card = { model: "m", version: 1, state: "valid", currency: "EUR" };

const answering = () => testCli(({ url }) => ({ body: url.startsWith("/api/status") ? status : card }));

test("every option of a price is sent", async () => {
  await using cli = await answering();
  const words =
    "prices set m --price-in 5 --price-cached 0.50 --price-out 30 --price-cache-write 6.25 --price-cache-write-long 10 --price-reasoning 1 " +
    "--price-tier 272000:in=10,cached=1,out=45 --price-tier 500000:in=20,out=90,write=25,write-long=40,reasoning=2 --price-call 0.006 " +
    "--price-unit search=0.01 --price-unit image=0.000000001 --price-batch in=2.5,out=15 --price-batch-tier 272000:in=5,out=22.5 --until 2999-01-01";
  const { code, stderr } = await cli.run(words.split(" "));
  expect(code, stderr).toBe(0);
  expect(cli.requests.at(-1)).toMatchObject({
    method: "PUT",
    url: "/api/prices",
    body: {
      model: "m",
      currency: "EUR",
      input_nano_per_million: "5000000000",
      cached_nano_per_million: "500000000",
      output_nano_per_million: "30000000000",
      cache_write_nano_per_million: "6250000000",
      cache_write_long_nano_per_million: "10000000000",
      reasoning_nano_per_million: "1000000000",
      tiers: [
        {
          above_prompt_tokens: 272_000,
          input_nano_per_million: "10000000000",
          cached_nano_per_million: "1000000000",
          output_nano_per_million: "45000000000",
        },
        {
          above_prompt_tokens: 500_000,
          input_nano_per_million: "20000000000",
          output_nano_per_million: "90000000000",
          cache_write_nano_per_million: "25000000000",
          cache_write_long_nano_per_million: "40000000000",
          reasoning_nano_per_million: "2000000000",
        },
      ],
      call_nano: "6000000",
      units_nano: { search: "10000000", image: "1" },
      batch: {
        input_nano_per_million: "2500000000",
        output_nano_per_million: "15000000000",
        tiers: [
          {
            above_prompt_tokens: 272_000,
            input_nano_per_million: "5000000000",
            output_nano_per_million: "22500000000",
          },
        ],
      },
      valid_until: "2999-01-01",
    },
  });
});

test("a discount is sent as one, and a currency as it is given", async () => {
  await using cli = await answering();
  await cli.run("prices set m --price-in 5 --price-out 30 --price-batch 50% --currency USD".split(" "));
  expect(cli.requests).toHaveLength(1);
  expect(cli.requests[0]!.body).toMatchObject({ currency: "USD", batch: { discount_percent: 50 } });
});

test.each([
  ["set m", "No price of m is given"],
  ["set m --price-in 5", "--price-out is missing"],
  ["set m --price-call 1", "--price-in is missing"],
  ["set m --price-in 5 --price-out 1e3", "--price-out cannot be read"],
  ["set m --price-in 5 --price-out 6 --price-tier in=1,out=2", "A tier begins with the size"],
  ["set m --price-in 5 --price-out 6 --price-tier 1000:in=1", "in= and out= are needed"],
  ["set m --price-in 5 --price-out 6 --price-tier 1000:in=1,out=2,in=3", "in=3 is not one of"],
  ["set m --price-in 5 --price-out 6 --price-tier 1000:in=1,out=2,fee=3", "fee=3 is not one of"],
  ["set m --price-in 5 --price-out 6 --price-batch 50% --price-batch-tier 1000:in=1,out=2", "--price-batch in=N"],
  ["set m --price-in 5 --price-out 6 --price-unit search", "NAME=AMOUNT"],
  ["explain m --prompt 1.5", "not a whole number"],
  ["explain m --unit search", "not a whole number"],
  ["unknown hold-at", "refuse, or hold-at with --fallback"],
  ["unknown free", "refuse, or hold-at with --fallback"],
])("prices %s: says what cannot be read", async (words, says) => {
  await using cli = await answering();
  const { code, stderr } = await cli.run(["prices", ...words.split(" ")]);
  expect(code).toBe(2);
  expect(stderr).toContain(says);
  expect(cli.requests.filter(({ method }) => method !== "GET")).toEqual([]);
});
