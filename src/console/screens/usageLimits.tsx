// Limits on use: how many requests, tokens, calls and bytes a scope may use, and what counts against each now.
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { LimitResource } from "../../contract/index.ts";
import { getJson } from "../api/client.ts";
import { enginesQuery, limitsQuery } from "../api/queries.ts";
import { bytes, compact, full, wholeOf } from "../format.ts";
import { FormDialog } from "../ui/dialog.tsx";
import { FigureName } from "../ui/figure.tsx";
import { Empty, Failure, SkeletonRows } from "../ui/states.tsx";
import { Table, type Column } from "../ui/table.tsx";
import { shortId } from "../ui/text.tsx";
import { RemoveDialog } from "./removeDialog.tsx";
import { useScope } from "./scopeFields.tsx";
import { UsedBar } from "./usedBar.tsx";

type Dimension = LimitResource["dimension"];

/** What a dimension counts, after an amount and as a choice of the form. */
const dimensions: Record<Dimension, { words: string; choice: string; placeholder: string }> = {
  requests_per_minute: { words: "requests a minute", choice: "requests a minute", placeholder: "600" },
  tokens_per_minute: { words: "tokens a minute", choice: "tokens a minute", placeholder: "200,000" },
  tokens_per_day: { words: "tokens in 24 hours", choice: "tokens in 24 hours", placeholder: "10,000,000" },
  concurrent_calls: { words: "calls at once", choice: "calls at once", placeholder: "16" },
  bytes_in_flight: { words: "at once", choice: "bytes of calls at once", placeholder: "64,000,000" },
};

const amountText = (amount: number, dimension: Dimension) =>
  dimension === "bytes_in_flight" ? bytes(amount) : compact(amount);
const scopeText = ({ scope }: LimitResource) =>
  `${scope.kind} ${scope.name ?? scope.id}${scope.model === null ? "" : ` for ${scope.model}`}`;

export function UsageLimits({ owner }: { owner: boolean }) {
  const limits = useInfiniteQuery(limitsQuery);
  const [ending, setEnding] = useState<LimitResource>();
  const rows = limits.data?.pages.flatMap((page) => page.data) ?? [];
  const columns: Column<LimitResource>[] = [
    {
      id: "scope",
      head: "Limit of",
      card: "title",
      cell: ({ scope }) => (
        <span>
          <span className="muted">{scope.kind}</span> {scope.name ?? shortId(scope.id)}
        </span>
      ),
    },
    {
      id: "model",
      head: "Model",
      from: 620,
      cell: ({ scope }) =>
        scope.model === null ? (
          <span className="muted">all</span>
        ) : (
          <span className="mono" data-tip={scope.model}>
            {scope.model}
          </span>
        ),
    },
    {
      id: "share",
      head: "Used",
      card: "note",
      cell: ({ used, amount, dimension }) => (
        <UsedBar
          share={amount === 0 ? 1 : used / amount}
          tip={`${full(used)} of ${full(amount)} ${dimensions[dimension].choice}`}
        />
      ),
    },
    {
      id: "used",
      head: <FigureName of="limit_used" />,
      align: "right",
      card: "value",
      cell: ({ used, dimension }) => (
        <span className="num" data-tip={full(used)}>
          {amountText(used, dimension)}
        </span>
      ),
    },
    {
      id: "amount",
      head: "Limit",
      align: "right",
      card: "note",
      word: "of",
      cell: ({ amount, dimension }) => (
        <span className="num" data-tip={full(amount)}>
          {amountText(amount, dimension)} {dimensions[dimension].words}
        </span>
      ),
    },
    {
      id: "end",
      head: <span className="spoken">Actions</span>,
      align: "right",
      card: "note",
      cell: (limit) =>
        owner ? (
          <button
            type="button"
            className="button small bare"
            aria-label={`Remove the limit of ${scopeText(limit)} on ${dimensions[limit.dimension].choice}`}
            onClick={() => setEnding(limit)}
          >
            Remove
          </button>
        ) : null,
    },
  ];
  return (
    <div className="panel">
      {limits.isError ? (
        <Failure error={limits.error} retry={() => void limits.refetch()} />
      ) : limits.data === undefined ? (
        <SkeletonRows rows={3} />
      ) : rows.length === 0 ? (
        <Empty title="No limits on use" command="npx lineshaft limits set project default --requests-per-minute 600">
          A limit holds for an organisation, a project or a key, for all models or for one. A call beyond it waits or is
          refused, and says when to come back.
        </Empty>
      ) : (
        <Table
          label="Limits on use"
          columns={columns}
          rows={rows}
          rowId={(limit) => limit.id}
          more={{
            has: limits.hasNextPage,
            loading: limits.isFetchingNextPage,
            load: () => void limits.fetchNextPage(),
          }}
        />
      )}
      <RemoveDialog
        target={ending}
        onDone={() => setEnding(undefined)}
        title="Remove this limit?"
        path={({ id }) => `/api/limits/${encodeURIComponent(id)}`}
        list="limits"
        consequence={(limit) =>
          `Calls of ${scopeText(limit)} are no longer limited in ${dimensions[limit.dimension].choice}. Budgets still hold.`
        }
      />
    </div>
  );
}

const scopeKinds = ["organisation", "project", "key"] as const;

export function SetLimit({ open, onOpenChange }: { open: boolean; onOpenChange: (open: boolean) => void }) {
  const client = useQueryClient();
  const { kind, id, fields } = useScope(scopeKinds, "project", open);
  const engines = useQuery({ ...enginesQuery, enabled: open }).data ?? [];
  const models = engines.map((engine) => engine.name).toSorted();
  const [model, setModel] = useState("");
  const [dimension, setDimension] = useState<Dimension>("requests_per_minute");
  const [text, setText] = useState("");
  const amount = wholeOf(text);
  const wrong = text.trim() !== "" && amount === undefined;
  const set = useMutation({
    mutationFn: () =>
      getJson<LimitResource>("/api/limits", {
        method: "PUT",
        body: { scope: { kind, id, ...(model !== "" && { model }) }, dimension, amount },
      }),
    onSuccess: () => {
      onOpenChange(false);
      setText("");
      return client.invalidateQueries({ queryKey: ["limits"] });
    },
  });
  return (
    <FormDialog
      open={open}
      onOpenChange={onOpenChange}
      title="Set a limit on use"
      action="Set"
      busy={set.isPending}
      error={set.error}
      disabled={amount === undefined || id === ""}
      onSubmit={() => set.mutate()}
    >
      {fields}
      <label className="field">
        <span className="label">Calls to</span>
        <select className="input" value={model} onChange={(event) => setModel(event.target.value)}>
          <option value="">all models</option>
          {models.map((each) => (
            <option key={each}>{each}</option>
          ))}
        </select>
      </label>
      <div className="field-pair">
        <label className="field">
          <span className="label">At most</span>
          <input
            className="input num"
            inputMode="numeric"
            placeholder={dimensions[dimension].placeholder}
            value={text}
            aria-invalid={wrong}
            aria-describedby="limit-amount-help"
            onChange={(event) => setText(event.target.value)}
          />
        </label>
        <label className="field">
          <span className="label">Of what</span>
          <select
            className="input"
            value={dimension}
            onChange={(event) => setDimension(event.target.value as Dimension)}
          >
            {Object.entries(dimensions).map(([each, { choice }]) => (
              <option key={each} value={each}>
                {choice}
              </option>
            ))}
          </select>
        </label>
      </div>
      <p id="limit-amount-help" className={wrong ? "bad" : "muted"} role={wrong ? "alert" : undefined}>
        {wrong
          ? `${text.trim()} is not a whole number up to 4,503,599,627,370,496. Write it as 600 or 200,000.`
          : "An existing limit gets the new amount, and what was used counts on. 0 refuses every call."}
      </p>
    </FormDialog>
  );
}
