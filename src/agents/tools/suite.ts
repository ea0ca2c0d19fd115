// What every kind of tool does, whatever it is reached by. A kind's test calls this with a server of its own that has the tools below.
import { afterEach, describe, expect, test } from "vitest";
import { StepError } from "../errors.ts";
import type { PinnedTool } from "../types.ts";
import { ToolNotSentError, ToolUncertainError, type ToolKind, type ToolServerAddress } from "./types.ts";

/**
 * A server with five tools: `say` answers `{said, key}` (its text and the effect's key that came, or null), `fail` fails with "the drill
 * is broken", `flood` answers more than may be kept, `hang` never answers, and `deep` has a schema nested deeper than may be kept.
 */
export interface ToolWorld extends AsyncDisposable {
  tools: ToolKind;
  address: ToolServerAddress;
  /** Calls of `say` so far. */
  said(): number;
  /** Calls of `hang` so far. */
  hung(): number;
  /** Changes what `say` promises. */
  redefine(): void;
  /** Lets time pass for the kind. */
  later(ms: number): void;
  /** Ends the server, and every connection to it. */
  end(): Promise<void>;
}

const project = "prj_1";

/** Registers the tests; `open` makes a world of its own for each. */
export function describeToolKind(name: string, open: () => Promise<ToolWorld>): void {
  describe(name, () => {
    const worlds: ToolWorld[] = [];
    afterEach(async () => {
      for (const world of worlds.splice(0)) await world[Symbol.asyncDispose]();
    });

    async function world() {
      const made = await open();
      worlds.push(made);
      const pin = async (tool: string, more: Partial<PinnedTool> = {}): Promise<PinnedTool> => {
        const defined = (await made.tools.list(made.address, project)).find((one) => one.name === tool)!;
        return {
          ...made.address,
          server: "plant",
          ...defined,
          hash: defined.hash(),
          effect: false,
          acceptsKey: false,
          seconds: 30,
          slow: false,
          ...more,
        };
      };
      return { ...made, pin };
    }

    test("lists what there is: name, description, schema of the arguments, and one hash of all that is promised", async () => {
      const { tools, address } = await world();
      const listed = await tools.list(address, project);
      expect(listed.map((tool) => tool.name).toSorted()).toEqual(["deep", "fail", "flood", "hang", "say"]);
      expect(listed.find((tool) => tool.name === "say")).toMatchObject({
        description: "Says what it is told.",
        inputSchema: { type: "object", required: ["text"] },
      });
      const hashes = (all: typeof listed) => all.filter((tool) => tool.name !== "deep").map((tool) => tool.hash());
      expect(hashes(listed)).toEqual([1, 2, 3, 4].map(() => expect.stringMatching(/^sha256:[0-9a-f]{64}$/)));
      expect(hashes(await tools.list(address, project))).toEqual(hashes(listed));
    });

    test("a definition that cannot be kept is unusable alone: the tools beside it are not", async () => {
      const { tools, address, pin } = await world();
      const deep = (await tools.list(address, project)).find((tool) => tool.name === "deep")!;
      expect(() => deep.hash()).toThrow(expect.objectContaining({ code: "tool_unusable" }));
      expect(await tools.call(await pin("say"), { text: "a" }, { project })).toMatchObject({ isError: false });
    });

    test("a call brings the arguments and the effect's key to the tool, and its answer back", async () => {
      const { tools, pin } = await world();
      expect(await tools.call(await pin("say"), { text: "hello" }, { project, effectKey: "org:run:1:0" })).toEqual({
        output: { said: "hello", key: "org:run:1:0" },
        isError: false,
      });
      expect(await tools.call(await pin("say"), { text: "again" }, { project })).toMatchObject({
        output: { said: "again", key: null },
      });
    });

    test("a tool's own failure is an answer, for an effect too", async () => {
      const { tools, pin } = await world();
      const answer = { output: "the drill is broken", isError: true };
      expect(await tools.call(await pin("fail"), {}, { project })).toEqual(answer);
      expect(await tools.call(await pin("fail", { effect: true }), {}, { project })).toEqual(answer);
    });

    test("an answer that cannot be kept is the tool's failure; an effect may have been done, so it is uncertain", async () => {
      const { tools, pin } = await world();
      expect(await tools.call(await pin("flood"), {}, { project })).toMatchObject({ isError: true });
      const effect = tools.call(await pin("flood", { effect: true }), {}, { project });
      await expect(effect).rejects.toMatchObject({ answered: true });
      await expect(effect).rejects.toBeInstanceOf(ToolUncertainError);
    });

    test("without an answer in time it is uncertain what was done", async () => {
      const { tools, pin } = await world();
      const call = tools.call(await pin("hang", { seconds: 1 }), {}, { project });
      await expect(call).rejects.toMatchObject({ answered: false, retryAfterMs: expect.any(Number) });
      await expect(call).rejects.toBeInstanceOf(ToolUncertainError);
    });

    test("an aborted call ends at once and is uncertain", async () => {
      const { tools, pin, hung } = await world();
      const stop = new AbortController();
      const tool = await pin("hang");
      const call = tools.call(tool, {}, { project, signal: stop.signal });
      const ended = expect(call).rejects.toBeInstanceOf(ToolUncertainError);
      await expect.poll(hung).toBe(1);
      stop.abort(new Error("stopped"));
      await ended;
    });

    test("a server that dies in the middle of a call leaves it uncertain", async () => {
      const { tools, pin, hung, end } = await world();
      const call = tools.call(await pin("hang"), {}, { project });
      const ended = expect(call).rejects.toBeInstanceOf(ToolUncertainError);
      await expect.poll(hung).toBe(1);
      await end();
      await ended;
    });

    test("a changed definition stops an effect at once, and a read once the definitions are old", async () => {
      const { tools, pin, redefine, later, said } = await world();
      const [effect, read] = [await pin("say", { effect: true }), await pin("say")];
      await tools.call(read, { text: "a" }, { project });
      redefine();
      later(1);
      const changed = tools.call(effect, { text: "b" }, { project });
      await expect(changed).rejects.toMatchObject({ code: "tool_changed", retryAfterMs: undefined });
      await expect(changed).rejects.toBeInstanceOf(ToolNotSentError);
      later(6_000);
      await expect(tools.call(read, { text: "c" }, { project })).rejects.toMatchObject({ code: "tool_changed" });
      expect(said()).toBe(1);
    });

    test("a tool that is gone is not called", async () => {
      const { tools, pin } = await world();
      const gone = { ...(await pin("say")), name: "gone" };
      await expect(tools.call(gone, {}, { project })).rejects.toThrow(/does not exist any more/);
      await expect(tools.call(gone, {}, { project })).rejects.toBeInstanceOf(ToolNotSentError);
    });

    test("a server that is away: an effect is certainly not called, and may be tried again", async () => {
      const { tools, pin, end, address, said, later } = await world();
      const tool = await pin("say");
      await end();
      later(1);
      const away = tools.call({ ...tool, effect: true }, { text: "a" }, { project });
      await expect(away).rejects.toMatchObject({ code: "tool_unreachable", retryAfterMs: expect.any(Number) });
      await expect(away).rejects.toBeInstanceOf(ToolNotSentError);
      await expect(tools.list(address, project)).rejects.toBeInstanceOf(StepError);
      expect(said()).toBe(0);
    });

    test("closes whatever is open, more than once", async () => {
      const { tools, pin } = await world();
      await tools.call(await pin("say"), { text: "a" }, { project });
      await tools.close();
      await tools.close();
    });
  });
}
