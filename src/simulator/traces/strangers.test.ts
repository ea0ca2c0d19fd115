// Files of unknown origin: what is read, what is refused, in how many words, and at what cost.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, describe, expect, it } from "vitest";
import { SimulatorError } from "../types.ts";
import { readAgentSessions } from "./agentFiles.ts";
import { detectFormat } from "./detect.ts";
import { nestsTooDeep } from "./files.ts";
import { openWorkload } from "./open.ts";

const raw = resolve(import.meta.dirname, "../../../test/data/traces/kv-cache-tester.json");
const folder = mkdtempSync(join(tmpdir(), "strangers-"));
afterAll(() => rmSync(folder, { recursive: true }));
const written = (name: string, content: string | Buffer) => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};

interface RawSession {
  id: string;
  hash_id_scope?: string;
  requests: { hash_ids?: unknown }[];
}
const session = () => JSON.parse(readFileSync(raw, "utf8")) as RawSession;
/** A session as a kv-cache-tester file, changed. */
const changed = (name: string, change: (of: RawSession) => void) => {
  const of = session();
  change(of);
  return written(name, JSON.stringify(of));
};

/** What a person reads of the error: its message and the hint. */
async function saidOf(trace: string, more: object = {}): Promise<string> {
  try {
    await openWorkload({ trace, ...more });
  } catch (error) {
    if (!(error instanceof SimulatorError)) throw error;
    return `${error.code}: ${error.message} ${error.hint}`;
  }
  throw new Error(`${trace} was read`);
}

describe("kv-cache-tester's own files", () => {
  it("are read as they are: many lines an object, hash_ids written out, sub-agents inside", async () => {
    expect(await detectFormat(raw)).toBe("agent-sessions");
    const { calls, threads, tenants } = await openWorkload({ trace: raw, startGapS: 0 });
    expect(calls.map(({ promptTokens, after, delayMs, then }) => [promptTokens, after, delayMs, then])).toEqual([
      [200, [], 0, "tool"],
      [140, [0], 1000, "tool"],
      [210, [1], 2000, "end"],
      [400, [0, 2], 5000, "tool"],
      [460, [3], 5000, "end"],
    ]);
    expect([threads, tenants]).toEqual([2, 1]);
    // The output of 130 tokens fills the blocks that the next prompt begins with.
    expect(calls[0]!.outputBlocks).toEqual(calls[3]!.blocks.subarray(3, 5));
    expect([...calls[4]!.blocks.subarray(0, 6)]).toEqual([...calls[3]!.blocks]);
  });

  it("are the same joined, in a list, compact, packed, and with a name that does not say so", async () => {
    const one = readFileSync(raw, "utf8");
    const lengths = async (path: string) =>
      (await openWorkload({ trace: path })).calls.map((call) => call.promptTokens);
    const twice = [200, 140, 210, 400, 460, 200, 140, 210, 400, 460];
    expect(await lengths(written("joined.json", one + one))).toEqual(twice);
    expect(await lengths(written("list.json", `[${one},\n${one}]\n`))).toEqual(twice);
    expect(
      await lengths(written("lines.jsonl", `${JSON.stringify(session())}\n${JSON.stringify(session())}\n`)),
    ).toEqual(twice);
    expect(await lengths(written("packed.json", gzipSync(one)))).toEqual(twice.slice(5));
    expect(await lengths(written("mark.json", `\ufeff${one.replaceAll("\n", "\r\n")}`))).toEqual(twice.slice(5));
    expect((await openWorkload({ trace: join(folder, "joined.json") })).programs).toBe(2);
    const compact = changed("compact.jsonl", ({ requests }) => {
      const [first] = requests as { hash_ids?: number[]; hash_runs?: number[] }[];
      delete first!.hash_ids;
      first!.hash_runs = [1, 3];
    });
    expect(await openWorkload({ trace: compact })).toEqual(await openWorkload({ trace: raw }));
  });

  it("with blocks of another size than the first are left out, and the report says so", async () => {
    const other = { ...session(), block_size: 16 };
    const { calls, notes } = await openWorkload({
      trace: written("sizes.jsonl", `${JSON.stringify(session())}\n${JSON.stringify(other)}\n`),
    });
    expect(calls).toHaveLength(5);
    expect(notes.join(" ")).toContain("1 of 2 sessions have blocks of another size");
  });

  it("share blocks between sessions where their ids are global, and ids may be any numbers", async () => {
    const shared = async (scope: string) => {
      const of = { ...session(), hash_id_scope: scope };
      const trace = written(`${scope}.jsonl`, `${JSON.stringify(of)}\n${JSON.stringify({ ...of, id: "other" })}\n`);
      const { calls, blockCount } = await openWorkload({ trace });
      return [calls[0]!.blocks[0] === calls[5]!.blocks[0], blockCount] as const;
    };
    expect(await shared("global")).toEqual([true, 10]);
    expect((await shared("local"))[0]).toBe(false);
    const sparse = changed("sparse.json", ({ requests }) => {
      for (const request of requests)
        if (request.hash_ids !== undefined) request.hash_ids = (request.hash_ids as number[]).map((id) => id * 1e12);
    });
    const { calls, blockCount } = await openWorkload({ trace: sparse });
    expect(blockCount).toBeLessThan(100);
    expect([...calls[4]!.blocks.subarray(0, 6)]).toEqual([...calls[3]!.blocks]);
  });
});

describe("what cannot be read", () => {
  it("is said in a few words: what was found, and which formats are known", async () => {
    mkdirSync(join(folder, "traces"));
    const rest = JSON.stringify({ a: 1, b: [1, 2] });
    const said: [file: string, code: string, what: RegExp][] = [
      [join(folder, "traces"), "trace_is_folder", /is a folder with 0 entries.*cat FOLDER/],
      [written("empty", ""), "trace_unknown", /it is empty/],
      [written("text.txt", "hello\nworld\n"), "trace_unknown", /text of no known format, and begins with: hello world/],
      [written("other.json", `${rest}\n`), "trace_unknown", /JSON without the keys of a known format/],
      [
        written("junk", Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * 7) % 256))),
        "trace_unknown",
        /binary data/,
      ],
      [
        written("t.zip", Buffer.from("PK\u0003\u0004rest")),
        "trace_unknown",
        /a zip archive, which must be unpacked first/,
      ],
      [
        written("cut.json.gz", gzipSync(readFileSync(raw)).subarray(0, 300)),
        "trace_unreadable",
        /gzip data is damaged or cut/,
      ],
      [written("cut.json", readFileSync(raw).subarray(0, 600)), "trace_unreadable", /begins on line 1 .*ends before/],
      [written("comma.json", '{"block_size": 64, "requests": [,]}'), "trace_unreadable", /line 1 .*is not JSON/],
      [
        written("after.json", `${JSON.stringify(session())} x`),
        "trace_unreadable",
        /"x" stands where an object should begin/,
      ],
      ["/dev/null", "trace_unreadable", /no regular file/],
    ];
    for (const [file, code, what] of said) {
      const text = await saidOf(file);
      expect(text).toMatch(what);
      expect(text.slice(0, code.length)).toBe(code);
      expect(text.length).toBeLessThan(800);
      expect(text).not.toMatch(/\n/);
    }
    expect(await saidOf(join(folder, "text.txt"))).toMatch(
      /Known formats: mooncake \(.*agent-sessions \(.*raw or compact\)/,
    );
  });

  it("has its first fault named, and where, however many there are", async () => {
    const many = Array.from({ length: 100_000 }, () => "x");
    const ids = changed("ids.json", ({ requests }) => (requests[0]!.hash_ids = many));
    expect(await saidOf(ids)).toMatch(
      /requests\[0\] of the session on line 1 of .*: hash_ids: it must be a list of whole numbers\./,
    );
    const requests = changed("requests.json", (of) => (of.requests = many as never));
    expect(await saidOf(requests)).toMatch(/requests\[0\] of the session on line 1 of/);
    const none = changed("none.json", ({ requests: [first] }) => delete first!.hash_ids);
    expect(await saidOf(none)).toMatch(/neither hash_ids nor hash_runs/);
    const mooncake = { timestamp: 0, input_length: 5, output_length: 1, hash_ids: many };
    const row = written("row.jsonl", `${JSON.stringify(mooncake)}\n`);
    expect(await saidOf(row)).toMatch(
      /Line 1 of .* is not a Mooncake row: hash_ids: it must be a list of whole numbers/,
    );
    for (const file of [ids, requests, none, row]) expect((await saidOf(file)).length).toBeLessThan(600);
  });
});

describe("bounds", () => {
  it("other work goes on while a large file is read", async () => {
    const line = `${JSON.stringify(session())}\n`;
    const trace = written("many.jsonl", line.repeat(2000));
    // Turns of the event loop: every piece of the file that is read from disk takes one.
    let turns = 0;
    let reading = true;
    const turn = () => {
      turns++;
      if (reading) setImmediate(turn);
    };
    turn();
    let sessions = 0;
    for await (const _ of readAgentSessions(trace)) sessions++;
    reading = false;
    expect(sessions).toBe(2000);
    expect(turns).toBeGreaterThan(10);
  });

  it("nesting, lengths and runs of blocks are bounded", async () => {
    const deep = written("deep.json", `{"block_size": 64, "requests": ${"[".repeat(100_000)}`);
    expect(await saidOf(deep)).toMatch(/line 1 of .*: it nests deeper than 32 levels/);
    const nested = `{"timestamp": 0, "input_length": 5, "output_length": 1, "hash_ids": ${"[".repeat(1e6)}${"]".repeat(1e6)}}`;
    expect(await saidOf(written("deep.jsonl", nested))).toMatch(/line 1 of .*: it nests deeper than 32 levels/);
    const text = JSON.stringify({
      timestamp: 0,
      input_length: 5,
      output_length: 1,
      hash_ids: [],
      note: `\\"${"[{".repeat(1e4)}`,
    });
    expect((await openWorkload({ trace: written("brackets.jsonl", text) })).calls).toHaveLength(1);
    const slashes = (note: string) =>
      `{"note": "${note}", "deep": ${"[".repeat(40)}${"]".repeat(40)}${" ".repeat(20_000)}}`;
    // An even number of backslashes does not escape the quote behind them.
    for (const note of ["", "\\\\", '\\"', '\\\\\\"', '\\"\\\\', "\\\\\\\\"])
      expect([note, nestsTooDeep(slashes(note))]).toEqual([note, true]);
    expect(nestsTooDeep(`{"note": "\\\\\\"${"[".repeat(20_000)}`)).toBe(false);
    const runs = changed("runs.json", ({ requests: [first] }) => {
      delete first!.hash_ids;
      (first as { hash_runs?: number[] }).hash_runs = [0, 1e9];
    });
    expect(await saidOf(runs)).toMatch(/trace_too_large: .* more than 268435456 blocks together.*--limit/);
    const tokens = changed("tokens.json", ({ requests: [first] }) => ((first as { in?: number }).in = 1e15));
    expect(await saidOf(tokens)).toMatch(/requests\[0\] .*: in: /);
  });
});
