// The button that cancels a batch, after asking. Nothing is shown for a batch that has ended.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { BatchResource } from "../../contract/index.ts";
import { send } from "../api/client.ts";
import { FormDialog } from "../ui/dialog.tsx";
import { shortId } from "../ui/text.tsx";
import { cancelPath, isCancellable } from "./batchState.ts";

export function CancelBatch({ batch, small = false }: { batch: BatchResource; small?: boolean }) {
  const client = useQueryClient();
  const [asking, setAsking] = useState(false);
  const cancel = useMutation({
    mutationFn: () => send(cancelPath(batch), { method: "POST" }),
    onSuccess: async () => {
      setAsking(false);
      await Promise.all([
        client.invalidateQueries({ queryKey: ["batches"] }),
        client.invalidateQueries({ queryKey: ["batch", batch.id] }),
      ]);
    },
  });
  if (!isCancellable(batch)) return null;
  return (
    <>
      <button
        type="button"
        className={small ? "button small bare" : "button danger"}
        aria-label={small ? `Cancel batch ${shortId(batch.id)}` : undefined}
        onClick={() => setAsking(true)}
      >
        {small ? "Cancel" : "Cancel the batch"}
      </button>
      <FormDialog
        open={asking}
        onOpenChange={setAsking}
        title="Cancel this batch?"
        action="Cancel the batch"
        danger
        busy={cancel.isPending}
        error={cancel.error}
        onSubmit={() => cancel.mutate()}
      >
        <p className="soft">
          Lines under way go on to their end, and no further line begins. Results until then stay, and are paid for. A
          cancelled batch cannot go on.
        </p>
      </FormDialog>
    </>
  );
}
