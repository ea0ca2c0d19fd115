import { expect, test } from "vitest";
import type { BatchResource } from "../../contract/index.ts";
import { batchState, cancelPath, isCancellable } from "./batchState.ts";

test("a batch is cancelled by the API that made it, while it goes on", () => {
  const of = (id: string, status: BatchResource["status"] = "in_progress") => ({ id, status }) as BatchResource;
  expect(cancelPath(of("batch_1"))).toBe("/v1/batches/batch_1/cancel");
  expect(cancelPath(of("msgbatch_1"))).toBe("/v1/messages/batches/msgbatch_1/cancel");
  const cancellable = (["validating", "in_progress", "cancelling", "completed"] as const).filter((status) =>
    isCancellable(of("batch_1", status)),
  );
  expect(cancellable).toEqual(["validating", "in_progress"]);
  expect(batchState("in_progress")).toBe("in progress");
});
