// `npm run test:conformance`: suites that other people wrote, unmodified, and docs/conformance.md out of what they said. A suite that could not
// be run is "not run" there, and its test is skipped by that name; it never counts as passed.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openWorld, type World } from "../clients/world.ts";
import { problemsOf } from "./judging.ts";
import { served, suites, type Outcome, type Suite } from "./suites.ts";

let world: World;
const results = new Map<Suite, Outcome[] | string>();

beforeAll(async () => {
  world = await openWorld();
  const models = new Map(suites.map(({ model, rules = [] }) => [model, rules]));
  for (const [model, rules] of models)
    await (rules === "vectors" ? world.serveVectors(model) : world.serve(model, ...rules));
});
afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
  // A run without the sources does not take away what an earlier one with them found.
  if (results.size === suites.length && process.env["LINESHAFT_SUITES"] !== undefined)
    writeFileSync(join(import.meta.dirname, "../../docs/conformance.md"), document());
});

describe.each(suites)("$name $version", (suite) => {
  test("passes but for what is known", async (context) => {
    if (!served(suite)) {
      results.set(suite, `POST ${suite.route} is not served.`);
      return context.skip(`not run: POST ${suite.route} is not served`);
    }
    let outcomes: Outcome[];
    try {
      outcomes = await suite.run({ address: world.address, key: world.key, ...world.folder() });
    } catch (error) {
      results.set(suite, String(error).split("\n")[0]!);
      return context.skip(`not run: ${String(error)}`);
    }
    results.set(suite, outcomes);
    expect(problemsOf(suite, outcomes)).toEqual({});
  });
});

function document(): string {
  const count = (outcomes: Outcome[], status: Outcome["status"]) =>
    outcomes.filter((one) => one.status === status).length;
  const lines = suites.map((suite) => {
    const outcome = results.get(suite)!;
    const name = `${suite.name} ${suite.version}`;
    if (typeof outcome === "string") return `| ${name} | not run | | ${outcome} |`;
    const rest = outcome.filter(({ status }) => status !== "passed");
    const why = rest.map(({ id, status, why: said }) => `\`${id}\` (${status}): ${suite.known[id] ?? said}`).join("; ");
    return `| ${name} | ${count(outcome, "passed")} of ${outcome.length} | ${count(outcome, "skipped")} | ${why} |`;
  });
  return `# Conformance

Suites that other people wrote, run unmodified by \`npm run test:conformance\`, which writes this page. Behind the gateway stands the rule
engine (\`test/clients/rules.ts\`), which calls the tool that it is given and answers JSON by its schema: the suites judge the API, not a model.
Sources that no registry has are read from LINESHAFT_SUITES (\`test/conformance/checkouts.ts\`); without it their suites are "not run".

| suite | passed | left out by the suite | what does not pass, and why |
|---|---|---|---|
${lines.join("\n")}
`;
}
