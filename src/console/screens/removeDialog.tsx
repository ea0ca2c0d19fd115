// The question before a thing is removed, and its removal. Open while there is a `target`.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { send } from "../api/client.ts";
import { FormDialog } from "../ui/dialog.tsx";

/** `path`: where the thing is removed. `list`: the key of the list that it stands in. `consequence`: what follows from its removal. */
export function RemoveDialog<Target>({
  target,
  onDone,
  title,
  action = "Remove",
  path,
  list,
  consequence,
}: {
  target: Target | undefined;
  onDone: () => void;
  title: string;
  action?: string;
  path: (target: Target) => string;
  list: string;
  consequence: (target: Target) => string;
}) {
  const client = useQueryClient();
  const remove = useMutation({
    mutationFn: (removed: Target) => send(path(removed), { method: "DELETE" }),
    onSuccess: () => {
      onDone();
      return client.invalidateQueries({ queryKey: [list] });
    },
  });
  return (
    <FormDialog
      open={target !== undefined}
      onOpenChange={(open) => (open ? undefined : onDone())}
      title={title}
      action={action}
      danger
      busy={remove.isPending}
      error={remove.error}
      onSubmit={() => target !== undefined && remove.mutate(target)}
    >
      <p className="soft">{target === undefined ? "" : consequence(target)}</p>
    </FormDialog>
  );
}
