// Budgets: their limits, and what is spent, leased, lost and left of them.
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { BudgetResource } from "../../contract/index.ts";
import { getJson } from "../api/client.ts";
import { budgetsQuery, statusQuery } from "../api/queries.ts";
import { moment, moneyFull, moneyNumber, moneyScale, nanoOf } from "../format.ts";
import { FormDialog } from "../ui/dialog.tsx";
import { FigureName } from "../ui/figure.tsx";
import { Empty, Failure, SkeletonRows } from "../ui/states.tsx";
import { Table, type Column } from "../ui/table.tsx";
import { Money, shortId } from "../ui/text.tsx";
import { RemoveDialog } from "./removeDialog.tsx";
import { useScope } from "./scopeFields.tsx";
import { UsedBar } from "./usedBar.tsx";

const periods: Record<BudgetResource["period"], string> = { total: "in all", month: "a month", day: "a day" };

export function Budgets({ owner, ofRuns }: { owner: boolean; ofRuns: boolean }) {
  const budgets = useInfiniteQuery(budgetsQuery(ofRuns ? "run" : "organisation,project,key,agent"));
  const [ending, setEnding] = useState<BudgetResource>();
  const rows = budgets.data?.pages.flatMap((page) => page.data) ?? [];
  // The spent amount has its own scale, so that 3.55 mUSD of 5.00 USD are visible. What is left is cut and not rounded up to the limit.
  const spent = moneyScale(rows.map((each) => each.spent_nano));
  const leased = moneyScale(rows.map((each) => each.leased_nano));
  const lost = moneyScale(rows.map((each) => each.lost_nano));
  const left = moneyScale(rows.map((each) => each.limit_nano));
  const columns: Column<BudgetResource>[] = [
    {
      id: "scope",
      head: "Budget",
      card: "title",
      cell: (budget) => (
        <span>
          <span className="muted">{budget.scope.kind}</span> {budget.scope.name ?? shortId(budget.scope.id)}
        </span>
      ),
    },
    { id: "used", head: "Used", card: "note", cell: (budget) => <Used budget={budget} /> },
    {
      id: "spent",
      head: "Spent",
      align: "right",
      from: 620,
      cell: (budget) => <Money nano={budget.spent_nano} currency={budget.currency} scale={spent} />,
    },
    {
      id: "leased",
      head: <FigureName of="budget_leased" />,
      align: "right",
      from: 900,
      cell: (budget) => <Money nano={budget.leased_nano} currency={budget.currency} scale={leased} />,
    },
    {
      id: "lost",
      head: <FigureName of="budget_lost" />,
      align: "right",
      from: 1080,
      cell: (budget) =>
        budget.lost_nano === "0" ? (
          <span className="muted">–</span>
        ) : (
          <Money nano={budget.lost_nano} currency={budget.currency} scale={lost} />
        ),
    },
    {
      id: "left",
      head: <FigureName of="budget_left" />,
      align: "right",
      card: "value",
      word: "left",
      cell: (budget) => (
        <b className={budget.left_nano.startsWith("-") || budget.left_nano === "0" ? "bad" : ""}>
          <Money nano={budget.left_nano} currency={budget.currency} scale={left} cut />
        </b>
      ),
    },
    {
      id: "limit",
      head: "Limit",
      align: "right",
      card: "note",
      word: "of",
      cell: (budget) => (
        <span
          className={budget.pending ? "num warn" : "num"}
          data-tip={`${budget.pending ? "Not known to every process yet: calls under way may still pass it.\n" : ""}${moneyFull(budget.limit_nano)} ${budget.currency}${budget.resets_at === null ? "" : `\nBegins anew ${moment(budget.resets_at)}`}`}
        >
          <Money nano={budget.limit_nano} currency={budget.currency} scale={left} /> {periods[budget.period]}
        </span>
      ),
    },
    {
      id: "end",
      head: <span className="spoken">Actions</span>,
      align: "right",
      card: "note",
      cell: (budget) =>
        owner ? (
          <button
            type="button"
            className="button small bare"
            aria-label={`Remove the budget of ${budget.scope.kind} ${budget.scope.name ?? budget.scope.id}`}
            onClick={() => setEnding(budget)}
          >
            Remove
          </button>
        ) : null,
    },
  ];
  return (
    <div className="panel">
      {budgets.isError ? (
        <Failure error={budgets.error} retry={() => void budgets.refetch()} />
      ) : budgets.data === undefined ? (
        <SkeletonRows rows={3} />
      ) : rows.length === 0 && ofRuns ? (
        <Empty title="No run under way has a limit">
          A manifest's limits.money becomes a budget of each run: the run's calls are refused beyond it.
        </Empty>
      ) : rows.length === 0 ? (
        <Empty title="No budgets" command="npx lineshaft budgets set project default --limit 5.00 --period month">
          A budget holds for an organisation, a project, a key, an agent or a run. A call that would exceed it is
          refused before it reaches an engine.
        </Empty>
      ) : (
        <Table
          label="Budgets"
          columns={columns}
          rows={rows}
          rowId={(budget) => budget.id}
          more={{
            has: budgets.hasNextPage,
            loading: budgets.isFetchingNextPage,
            load: () => void budgets.fetchNextPage(),
          }}
        />
      )}
      <RemoveDialog
        target={ending}
        onDone={() => setEnding(undefined)}
        title="Remove this budget?"
        path={({ id }) => `/api/budgets/${encodeURIComponent(id)}`}
        list="budgets"
        consequence={({ scope }) =>
          `${scope.kind} ${scope.name ?? scope.id} may then spend without this limit. What was spent stays on the ledger.`
        }
      />
    </div>
  );
}

function Used({ budget }: { budget: BudgetResource }) {
  const limit = moneyNumber(budget.limit_nano);
  const taken = [budget.spent_nano, budget.leased_nano, budget.lost_nano].map((nano) => moneyNumber(nano));
  return (
    <UsedBar
      share={limit === 0 ? 1 : taken.reduce((sum, part) => sum + part, 0) / limit}
      tip={`${moneyFull(budget.spent_nano)} of ${moneyFull(budget.limit_nano)} ${budget.currency} spent`}
    />
  );
}

const scopeKinds = ["organisation", "project", "key", "agent", "run"] as const;

export function SetBudget({ open, onOpenChange }: { open: boolean; onOpenChange: (open: boolean) => void }) {
  const client = useQueryClient();
  const status = useQuery(statusQuery).data;
  const { kind, id, fields } = useScope(scopeKinds, "project", open);
  const [limit, setLimit] = useState("");
  const [period, setPeriod] = useState<BudgetResource["period"]>("month");
  const nano = nanoOf(limit);
  const set = useMutation({
    mutationFn: () =>
      getJson<BudgetResource>("/api/budgets", {
        method: "PUT",
        body: { scope: { kind, id }, limit_nano: nano, period },
      }),
    onSuccess: () => {
      onOpenChange(false);
      setLimit("");
      return client.invalidateQueries({ queryKey: ["budgets"] });
    },
  });
  return (
    <FormDialog
      open={open}
      onOpenChange={onOpenChange}
      title="Set a budget"
      action="Set"
      busy={set.isPending}
      error={set.error}
      disabled={nano === undefined || id === ""}
      onSubmit={() => set.mutate()}
    >
      {fields}
      <div className="field-pair">
        <label className="field">
          <span className="label">Limit, {status?.organisation.currency}</span>
          <input
            className="input num"
            inputMode="decimal"
            placeholder="5.00"
            value={limit}
            aria-invalid={limit !== "" && nano === undefined}
            onChange={(event) => setLimit(event.target.value)}
          />
        </label>
        <label className="field">
          <span className="label">For</span>
          <select
            className="input"
            value={period}
            onChange={(event) => setPeriod(event.target.value as BudgetResource["period"])}
          >
            <option value="month">each month</option>
            <option value="day">each day</option>
            <option value="total">all time</option>
          </select>
        </label>
      </div>
      <p className="muted">An existing budget gets the new limit and period. What was spent stays.</p>
    </FormDialog>
  );
}
