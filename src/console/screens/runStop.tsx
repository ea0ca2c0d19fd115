// The button that stops a run, after asking.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { Run } from "../../contract/index.ts";
import { getJson } from "../api/client.ts";
import { FormDialog } from "../ui/dialog.tsx";

export function StopButton({ run }: { run: Run }) {
  const client = useQueryClient();
  const [asking, setAsking] = useState(false);
  const stop = useMutation({
    mutationFn: () => getJson<Run>(`/api/runs/${encodeURIComponent(run.id)}/stop`, { method: "POST" }),
    onSuccess: () => {
      setAsking(false);
      return client.invalidateQueries({ queryKey: ["run", run.id] });
    },
  });
  return (
    <>
      <button type="button" className="button danger" onClick={() => setAsking(true)}>
        Stop run
      </button>
      <FormDialog
        open={asking}
        onOpenChange={setAsking}
        title="Stop this run?"
        action="Stop run"
        danger
        busy={stop.isPending}
        error={stop.error}
        onSubmit={() => stop.mutate()}
      >
        <p className="soft">
          It takes no further step. What it did stays, and what it used is paid. A stopped run cannot continue.
        </p>
      </FormDialog>
    </>
  );
}
