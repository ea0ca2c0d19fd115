import { setImmediate } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { fitProfile, measureEndpoint, type MeasuredRow, type Send } from "./calibrate.ts";
import { prefillMs, profileSchema, stepMs, type EngineProfile } from "./engine/profile.ts";

const truth: EngineProfile = profileSchema.parse({
  name: "truth",
  model: "m",
  chip: "c",
  step: {
    baseMs: 12,
    freeTokens: 64,
    tokenMs: 0.08,
    sequenceMs: 0.05,
    kvReadMsPerToken: 0.0004,
    attentionMsPerPair: 2e-6,
  },
  callOverheadMs: 20,
  maxBatchTokens: 512,
  maxSequences: 16,
  kvCapacityTokens: 100_000,
  kvBytesPerToken: 1000,
  source: "made up",
});
const { step: _step, callOverheadMs: _overhead, ...frame } = truth;

describe("calibration", () => {
  it("finds a profile again from rows that it made", () => {
    const rows: MeasuredRow[] = [
      ...[100, 300, 500, 1000, 2000, 4000].map((promptTokens): MeasuredRow => ({
        kind: "prefill",
        promptTokens,
        ms: truth.callOverheadMs + prefillMs(truth, promptTokens, 0),
      })),
      ...[1, 2, 4, 8, 16].flatMap((batch) =>
        [200, 2000].map((contextTokens): MeasuredRow => ({
          kind: "decode",
          batch,
          contextTokens,
          ms: stepMs(truth, 0, 0, batch, batch * contextTokens),
        })),
      ),
      // 512 tokens a step, the batch's among them; half a step of the batch alone goes by before.
      ...[1, 7].map((batch): MeasuredRow => ({
        kind: "mixed",
        promptTokens: 900,
        batch,
        contextTokens: 100,
        ms:
          truth.callOverheadMs +
          stepMs(truth, 0, 0, batch, batch * 100) / 2 +
          stepMs(truth, 512 - batch, (512 - batch) ** 2 / 2, batch, batch * 100) +
          stepMs(truth, 388 + batch, (388 + batch) * (512 - batch + (388 + batch) / 2), batch, batch * 100),
      })),
    ];
    const fitted = fitProfile(rows, frame);
    expect(fitted.error).toBeLessThan(0.005);
    expect(prefillMs(fitted.profile, 3000, 0) + fitted.profile.callOverheadMs).toBeCloseTo(
      prefillMs(truth, 3000, 0) + truth.callOverheadMs,
      -1,
    );
  });

  it("measures through the injected send, alone for prompts and together for batches", async () => {
    let inside = 0;
    let most = 0;
    const nonces = new Set<string>();
    const send: Send = async ({ promptTokens, outputTokens, nonce, onFirstToken }) => {
      nonces.add(nonce);
      most = Math.max(most, ++inside);
      await Promise.resolve();
      onFirstToken?.();
      for (let token = 1; token < outputTokens; token++) await setImmediate();
      const batch = inside;
      inside--;
      const ttftMs = prefillMs(truth, promptTokens, 0);
      return {
        promptTokens,
        outputTokens,
        ttftMs,
        totalMs: ttftMs + (outputTokens - 1) * stepMs(truth, 0, 0, batch, 0),
      };
    };
    const rows = await measureEndpoint(send, { repetitions: 1, batches: [1, 2] });
    expect(rows.filter((row) => row.kind === "prefill")).toHaveLength(5);
    expect(rows.filter((row) => row.kind === "decode")).toHaveLength(4);
    expect(rows.filter((row) => row.kind === "mixed")).toHaveLength(2);
    expect(most).toBe(2);
    // Beside one that decodes, for each of the two longest prompts.
    expect(nonces.size).toBe(1 + 5 + 2 * (1 + 2) + 2 * (1 + 1));
  });

  it("measures no prompt beside a batch where first tokens are not told", async () => {
    const send: Send = ({ promptTokens, outputTokens }) =>
      Promise.resolve({ promptTokens, outputTokens, ttftMs: 10, totalMs: 10 + outputTokens });
    const rows = await measureEndpoint(send, { repetitions: 2 });
    expect(rows.filter((row) => row.kind === "mixed")).toEqual([]);
  });

  it("names what is missing", async () => {
    expect(() => fitProfile([], frame)).toThrow(/prefill rows/);
    const silent: Send = () => Promise.resolve({ promptTokens: 1, outputTokens: 0, ttftMs: 0, totalMs: 0 });
    await expect(measureEndpoint(silent)).rejects.toMatchObject({ code: "probe_failed" });
  });
});
