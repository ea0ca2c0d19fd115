// Lines are recorded after their calls are posted, those that ended meanwhile together, and are kept where Postgres does not answer.
import { expect, test } from "vitest";
import type { LineClaim } from "./lineStore.ts";
import { LineRecorder } from "./recorder.ts";

const line = (number: number): LineClaim => ({ project: "p", batch: "b", number, fence: 1n });

function recorder() {
  const said: string[] = [];
  const answers: PromiseWithResolvers<void>[] = [];
  const made = new LineRecorder({
    ledger: {
      position: () => ({ spool: "s", number: 7 }) as never,
      posted: () => {
        const answer = Promise.withResolvers<void>();
        answers.push(answer);
        return answer.promise;
      },
    },
    lines: { recorded: async (lines) => void said.push(lines.map(({ number }) => number).join("+")) },
    log: { warn: (...words: unknown[]) => void said.push(String(words[1])) },
    onRecorded: () => void said.push("all"),
  });
  return { made, said, answers };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test("a line is recorded once its call is posted, and lines that end meanwhile share a statement", async () => {
  const { made, said, answers } = recorder();
  made.add(line(1));
  made.add(line(2));
  made.add(line(3));
  await turn();
  expect([said, made.isIdle]).toEqual([[], false]);
  answers[0]!.resolve();
  await turn();
  expect(said).toEqual(["1"]);
  answers[1]!.resolve();
  await turn();
  expect([said, made.isIdle, answers.length]).toEqual([["1", "2+3", "all"], true, 2]);
});

test("lines whose calls could not be posted are recorded the next time", async () => {
  const { made, said, answers } = recorder();
  made.add(line(1));
  made.add(line(2));
  answers[0]!.reject(new Error("no answer"));
  await turn();
  expect(said).toEqual(["Lines of batches could not be marked as recorded: no answer"]);
  expect(made.isIdle).toBe(false);
  made.record();
  answers[1]!.resolve();
  await turn();
  expect(said.slice(1)).toEqual(["1+2", "all"]);
});
