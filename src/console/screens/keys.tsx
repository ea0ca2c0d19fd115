// Keys. Owners create them, see each secret once, and revoke them.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import type { KeyResource } from "../../contract/index.ts";
import { getJson } from "../api/client.ts";
import { keysQuery, statusQuery } from "../api/queries.ts";
import { FormDialog } from "../ui/dialog.tsx";
import { Empty, Failure, SkeletonRows } from "../ui/states.tsx";
import { Table, type Column } from "../ui/table.tsx";
import { Ago, Badge, Command, shortId, StateMark } from "../ui/text.tsx";
import { RemoveDialog } from "./removeDialog.tsx";

export function Keys({ owner }: { owner: boolean }) {
  const known = useQuery(statusQuery).data !== undefined;
  const keys = useQuery({ ...keysQuery, enabled: owner });
  const [ending, setEnding] = useState<KeyResource>();
  const columns: Column<KeyResource>[] = [
    {
      id: "name",
      head: "Key",
      card: "title",
      cell: (key) => (
        <StateMark
          state={key.revoked_at === null ? "ready" : "stopped"}
          label={key.name}
          tip={key.revoked_at === null ? "In use" : "Revoked"}
        />
      ),
    },
    {
      id: "role",
      head: "Role",
      card: "value",
      cell: (key) => <Badge tone={key.role === "owner" ? "live" : "idle"}>{key.role}</Badge>,
    },
    {
      id: "id",
      head: "Id",
      from: 760,
      cell: (key) => (
        <span className="mono muted" data-tip={key.id}>
          {shortId(key.id)}
        </span>
      ),
    },
    {
      id: "created",
      head: "Created",
      align: "right",
      card: "note",
      word: "created",
      cell: (key) => <Ago time={key.created_at} />,
    },
    {
      id: "revoked",
      head: "Revoked",
      align: "right",
      cell: (key) => (key.revoked_at === null ? <span className="muted">–</span> : <Ago time={key.revoked_at} />),
    },
    {
      id: "end",
      head: <span className="spoken">Actions</span>,
      align: "right",
      card: "note",
      cell: (key) =>
        key.revoked_at !== null ? null : (
          <button
            type="button"
            className="button small bare"
            aria-label={`Revoke ${key.name}`}
            onClick={() => setEnding(key)}
          >
            Revoke
          </button>
        ),
    },
  ];
  return (
    <div className="panel">
      {known && !owner ? (
        <Empty title="Only owners see the keys" command="npx lineshaft keys list">
          This key belongs to a member: it may call models, start runs and read its project. Ask an owner for another
          key.
        </Empty>
      ) : keys.isError ? (
        <Failure error={keys.error} retry={() => void keys.refetch()} />
      ) : keys.data === undefined ? (
        <SkeletonRows rows={4} />
      ) : (
        <Table label="Keys" columns={columns} rows={keys.data} rowId={(key) => key.id} />
      )}
      <RemoveDialog
        target={ending}
        onDone={() => setEnding(undefined)}
        title={`Revoke ${ending?.name ?? "the key"}?`}
        action="Revoke"
        path={({ id }) => `/api/keys/${encodeURIComponent(id)}`}
        list="keys"
        consequence={() =>
          "Requests with it are refused from now on, and its streams end. A revoked key cannot be brought back."
        }
      />
    </div>
  );
}

export function CreateKey({ open, onOpenChange }: { open: boolean; onOpenChange: (open: boolean) => void }) {
  const client = useQueryClient();
  const [name, setName] = useState("");
  const [role, setRole] = useState<KeyResource["role"]>("member");
  const [attempt, setAttempt] = useState(() => crypto.randomUUID());
  const create = useMutation({
    mutationFn: () =>
      getJson<KeyResource & { secret: string }>("/api/keys", {
        method: "POST",
        body: { name: name.trim(), role },
        idempotencyKey: attempt,
      }),
    onSuccess: () => client.invalidateQueries({ queryKey: ["keys"] }),
  });
  const change = (next: boolean) => {
    onOpenChange(next);
    if (next) return;
    // The secret is dropped with the dialog and is kept nowhere.
    create.reset();
    setName("");
    setRole("member");
    setAttempt(crypto.randomUUID());
  };
  const made = create.data;
  if (made !== undefined) {
    return (
      <FormDialog
        open={open}
        onOpenChange={change}
        title={`Key ${made.name}`}
        action="Done"
        busy={false}
        done
        onSubmit={() => change(false)}
      >
        <p className="soft">
          Copy it now. It is shown only this once: Lineshaft keeps no copy that could be shown again.
        </p>
        <Command label="Copy key">{made.secret}</Command>
        <p className="muted">
          The page{" "}
          <Link to="/connect" className="text">
            Connect
          </Link>{" "}
          has the lines for each client.
        </p>
      </FormDialog>
    );
  }
  return (
    <FormDialog
      open={open}
      onOpenChange={change}
      title="Create a key"
      action="Create"
      busy={create.isPending}
      error={create.error}
      disabled={name.trim() === ""}
      onSubmit={() => create.mutate()}
    >
      <label className="field">
        <span className="label">Name</span>
        <input
          className="input"
          value={name}
          maxLength={100}
          autoFocus
          onChange={(event) => setName(event.target.value)}
        />
        <span className="help">The person or program that will use it, such as a laptop or a service.</span>
      </label>
      <label className="field">
        <span className="label">Role</span>
        <select className="input" value={role} onChange={(event) => setRole(event.target.value as KeyResource["role"])}>
          <option value="member">Member: calls, runs, reading its project</option>
          <option value="owner">Owner: everything</option>
        </select>
      </label>
    </FormDialog>
  );
}
