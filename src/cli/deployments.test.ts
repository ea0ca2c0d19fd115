import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { defaultPolicy } from "../scheduler/index.ts";
import { testCli } from "./testing.ts";

const example = fileURLToPath(new URL("../../examples/deployments/two-replicas.yaml", import.meta.url));

/** A deployment as the API answers it. */
const resource = (changes: Record<string, unknown> = {}) => ({
  name: "chat",
  manifest: { kind: "Deployment", name: "chat", replicas: 2, placement: "two-tier", slots: 8 },
  source: "published",
  state: "ready",
  error: null,
  notes: [],
  endpoints: [
    { endpoint: "worker-0", role: "both", state: "ready", threads: 1 },
    { endpoint: "worker-1", role: "both", state: "ready", threads: 1 },
  ],
  created_at: "2026-01-01T22:00:00Z",
  updated_at: "2026-01-01T22:00:00Z",
  ...changes,
});

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "lineshaft-deploy-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const file = (name: string, text: string): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};

describe("deploy", () => {
  test("a deployment's file is published with its defaults, and awaited", async () => {
    let looks = 0;
    await using cli = await testCli(({ method, url }) => {
      if (url !== "/api/deployments/smollm2-135m-instruct") return undefined;
      const name = "smollm2-135m-instruct";
      if (method === "PUT") return { body: { ...resource({ name, state: "changing" }), changed: true } };
      return { body: resource({ name, state: ++looks < 2 ? "changing" : "ready" }) };
    });
    const { code, stdout } = await cli.run(["deploy", example]);
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: "Deployment smollm2-135m-instruct is served by 2 workers.\n",
    });
    expect(cli.requests[0]).toMatchObject({
      method: "PUT",
      body: {
        manifest: {
          kind: "Deployment",
          name: "smollm2-135m-instruct",
          replicas: 2,
          placement: defaultPolicy,
          slots: 8,
        },
      },
    });
    expect(looks).toBe(2);
  });

  test("the same again changes nothing", async () => {
    await using cli = await testCli(() => ({ body: { ...resource(), changed: false } }));
    expect((await cli.run(["deploy", example])).stdout).toContain("already; nothing changed.");
  });

  test("workers that do not run are a failure with its reason", async () => {
    const error = { code: "memory_short", message: "They do not fit.", hint: "Fewer." };
    await using cli = await testCli(() => ({ body: { ...resource({ state: "failed", error }), changed: true } }));
    const { code, stderr } = await cli.run(["deploy", example]);
    expect(code).toBe(1);
    expect(stderr).toBe(
      "error: Deployment smollm2-135m-instruct is published, but not all of its workers run.\n  why:  They do not fit.\n  next: Fewer.\n",
    );
  });

  test("a wrong field is told with its line, and nothing is sent", async () => {
    await using cli = await testCli();
    const path = file("wrong.yaml", "kind: Deployment\nname: chat\nreplicas: -1\nplacment: random\n");
    const { code, stderr } = await cli.run(["deploy", path]);
    expect(code).toBe(1);
    expect(stderr).toContain("wrong.yaml:3: replicas: ");
    expect(stderr).toContain("wrong.yaml:4: placment: is not a field");
    expect(cli.requests).toEqual([]);
  });

  test("a kind that is none is refused", async () => {
    await using cli = await testCli();
    const { code, stderr } = await cli.run(["deploy", file("x.yaml", "kind: Pod\n")]);
    expect(code).toBe(1);
    expect(stderr).toContain("Its kind is Pod.");
  });
});

describe("deployments", () => {
  test("scale changes the number alone", async () => {
    await using cli = await testCli(({ method, url }) =>
      method === "GET" && url.startsWith("/api/deployments?")
        ? { body: { data: [resource()], next_cursor: null } }
        : { body: { ...resource(), changed: true } },
    );
    await cli.run(["deployments", "scale", "chat", "--replicas", "3"]);
    expect(cli.requests.at(-1)!.body).toEqual({
      manifest: { kind: "Deployment", name: "chat", replicas: 3, placement: "two-tier", slots: 8 },
    });
    await cli.run(["deployments", "scale", "chat", "--prefill", "1", "--decode", "2"]);
    expect(cli.requests.at(-1)!.body).toMatchObject({ manifest: { roles: { prefill: 1, decode: 2, both: 0 } } });
  });

  test("scale wants the number said once", async () => {
    await using cli = await testCli();
    expect((await cli.run(["deployments", "scale", "chat"])).code).toBe(2);
    expect((await cli.run(["deployments", "scale", "chat", "--replicas", "1", "--both", "1"])).code).toBe(2);
    expect((await cli.run(["deployments", "scale", "chat", "--replicas", "two"])).code).toBe(2);
  });

  test("list and show say who serves", async () => {
    await using cli = await testCli(() => ({ body: { data: [resource()], next_cursor: null } }));
    expect((await cli.run(["deployments", "list"])).stdout).toMatchInlineSnapshot(`
      "NAME  STATE  WORKERS    PLACEMENT  CHANGED  NOTE
      chat  ready  2 workers  two-tier   2 h ago
      "
    `);
    expect((await cli.run(["deployments", "show", "chat"])).stdout).toContain("worker-1  both  ready        1");
    const { stderr } = await cli.run(["deployments", "show", "chst"]);
    expect(stderr).toContain("Did you mean chat?");
  });
});
