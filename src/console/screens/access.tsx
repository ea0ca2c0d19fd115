// Who may call and what they may spend: keys and budgets. Owners make and end them here; others see what holds.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { Segmented } from "../ui/filter.tsx";
import { PageHead } from "../ui/page.tsx";
import { useState } from "react";
import type { BudgetResource, KeyResource } from "../../gateway/api/schemas.ts";
import { getJson, send } from "../api/client.ts";
import { agentsQuery, budgetsQuery, keysQuery, statusQuery } from "../api/queries.ts";
import { columnDecimals, moment, money, moneyFull, moneyNumber, nanoOf, percent } from "../format.ts";
import { FormDialog } from "../ui/dialog.tsx";
import { FigureName } from "../ui/figure.tsx";
import { PlusIcon } from "../ui/icons.tsx";
import { Empty, Failure, SkeletonRows } from "../ui/states.tsx";
import { Table, type Column } from "../ui/table.tsx";
import { Ago, Badge, Command, Money, shortId, StateMark } from "../ui/text.tsx";
import "./access.css";

export function AccessScreen() {
  const { tab = "keys" } = useSearch({ from: "/access" });
  const navigate = useNavigate({ from: "/access" });
  const owner = useQuery(statusQuery).data?.role === "owner";
  const [making, setMaking] = useState(false);
  return (
    <>
      <PageHead title="Access" note="Who may call, and what they may spend">
        <Segmented
          label="What to show"
          value={tab}
          options={[
            { value: "keys", label: "Keys" },
            { value: "budgets", label: "Budgets" },
          ]}
          onChange={(value) => void navigate({ search: value === "keys" ? {} : { tab: value }, replace: true })}
        />
        {owner ? (
          <button type="button" className="button primary" onClick={() => setMaking(true)}>
            <PlusIcon />
            {tab === "keys" ? "Create a key" : "Set a budget"}
          </button>
        ) : null}
      </PageHead>
      {tab === "keys" ? <Keys owner={owner} /> : <Budgets owner={owner} />}
      {tab === "keys" ? (
        <CreateKey open={making} onOpenChange={setMaking} />
      ) : (
        <SetBudget open={making} onOpenChange={setMaking} />
      )}
    </>
  );
}

function Keys({ owner }: { owner: boolean }) {
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
      <RevokeKey target={ending} onDone={() => setEnding(undefined)} />
    </div>
  );
}

function RevokeKey({ target, onDone }: { target: KeyResource | undefined; onDone: () => void }) {
  const client = useQueryClient();
  const revoke = useMutation({
    mutationFn: (key: KeyResource) => send(`/api/keys/${encodeURIComponent(key.id)}`, { method: "DELETE" }),
    onSuccess: () => {
      onDone();
      return client.invalidateQueries({ queryKey: ["keys"] });
    },
  });
  return (
    <FormDialog
      open={target !== undefined}
      onOpenChange={(open) => (open ? undefined : onDone())}
      title={`Revoke ${target?.name ?? "the key"}?`}
      action="Revoke"
      danger
      busy={revoke.isPending}
      error={revoke.error}
      onSubmit={() => target !== undefined && revoke.mutate(target)}
    >
      <p className="soft">
        Whoever uses it is refused from the next request on. Calls under way end as they would. A revoked key cannot be
        brought back.
      </p>
    </FormDialog>
  );
}

function CreateKey({ open, onOpenChange }: { open: boolean; onOpenChange: (open: boolean) => void }) {
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
    // The secret goes with the dialog: nothing keeps it.
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
        action="I have kept it"
        busy={false}
        onSubmit={() => change(false)}
      >
        <p className="soft">Copy it now: it is shown this once and stored nowhere.</p>
        <Command>{made.secret}</Command>
        <p className="muted">
          It goes where an OpenAI client takes its key, with the address <code>{location.origin}/v1</code>.
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
        <span className="help">Who or what will use it, such as a laptop or a service.</span>
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

const periods: Record<BudgetResource["period"], string> = { total: "in all", month: "a month", day: "a day" };

function Budgets({ owner }: { owner: boolean }) {
  const budgets = useQuery(budgetsQuery);
  const [ending, setEnding] = useState<BudgetResource>();
  const decimals = columnDecimals((budgets.data ?? []).map((each) => each.limit_nano));
  const columns: Column<BudgetResource>[] = [
    {
      id: "scope",
      head: "Budget",
      card: "title",
      cell: (budget) => (
        <>
          <span className="muted">{budget.scope.kind}</span> {budget.scope.name ?? shortId(budget.scope.id)}
        </>
      ),
    },
    { id: "used", head: "Used", card: "note", cell: (budget) => <Used budget={budget} /> },
    {
      id: "spent",
      head: "Spent",
      align: "right",
      from: 620,
      cell: (budget) => <Money nano={budget.spent_nano} currency={budget.currency} decimals={decimals} bare />,
    },
    {
      id: "held",
      head: "Held",
      align: "right",
      from: 900,
      cell: (budget) => <Money nano={budget.held_nano} currency={budget.currency} bare />,
    },
    {
      id: "left",
      head: <FigureName of="budget_left" />,
      align: "right",
      card: "value",
      cell: (budget) => (
        <b className={budget.left_nano.startsWith("-") || budget.left_nano === "0" ? "bad" : ""}>
          <Money nano={budget.left_nano} currency={budget.currency} decimals={decimals} />
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
          className="num"
          data-tip={`${moneyFull(budget.limit_nano)} ${budget.currency}${budget.resets_at === null ? "" : `\nBegins anew ${moment(budget.resets_at)}`}`}
        >
          {money(budget.limit_nano)} {periods[budget.period]}
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
      ) : budgets.data.length === 0 ? (
        <Empty title="No budgets" command="npx lineshaft budgets set project default --limit 5.00 --period month">
          A budget holds for an organisation, a project, a key, an agent or a run. A call that would pass it is refused
          before it reaches an engine.
        </Empty>
      ) : (
        <Table label="Budgets" columns={columns} rows={budgets.data} rowId={(budget) => budget.id} />
      )}
      <RemoveBudget target={ending} onDone={() => setEnding(undefined)} />
    </div>
  );
}

function Used({ budget }: { budget: BudgetResource }) {
  const limit = moneyNumber(budget.limit_nano);
  const share = limit === 0 ? 1 : (moneyNumber(budget.spent_nano) + moneyNumber(budget.held_nano)) / limit;
  const tone = share >= 1 ? "bad" : share >= 0.8 ? "warn" : "good";
  return (
    <span
      className="used"
      data-tip={`${moneyFull(budget.spent_nano)} of ${moneyFull(budget.limit_nano)} ${budget.currency} spent`}
    >
      <span className="used-bar" aria-hidden="true">
        <i className={tone} style={{ width: `${Math.min(100, share * 100)}%` }} />
      </span>
      <span className={tone === "good" ? "num" : `num ${tone}`}>{percent(share)}</span>
    </span>
  );
}

function RemoveBudget({ target, onDone }: { target: BudgetResource | undefined; onDone: () => void }) {
  const client = useQueryClient();
  const remove = useMutation({
    mutationFn: (budget: BudgetResource) => send(`/api/budgets/${encodeURIComponent(budget.id)}`, { method: "DELETE" }),
    onSuccess: () => {
      onDone();
      return client.invalidateQueries({ queryKey: ["budgets"] });
    },
  });
  return (
    <FormDialog
      open={target !== undefined}
      onOpenChange={(open) => (open ? undefined : onDone())}
      title="Remove this budget?"
      action="Remove"
      danger
      busy={remove.isPending}
      error={remove.error}
      onSubmit={() => target !== undefined && remove.mutate(target)}
    >
      <p className="soft">
        {target === undefined ? "" : `${target.scope.kind} ${target.scope.name ?? target.scope.id}`} may then spend
        without this limit. What was spent stays on the ledger.
      </p>
    </FormDialog>
  );
}

const scopeKinds = ["organisation", "project", "key", "agent", "run"] as const;

function SetBudget({ open, onOpenChange }: { open: boolean; onOpenChange: (open: boolean) => void }) {
  const client = useQueryClient();
  const status = useQuery(statusQuery).data;
  const keys = useQuery({ ...keysQuery, enabled: open && status?.role === "owner" }).data;
  const agents = useQuery({ ...agentsQuery, enabled: open }).data;
  const [kind, setKind] = useState<(typeof scopeKinds)[number]>("project");
  const [typedId, setTypedId] = useState<string>();
  const [limit, setLimit] = useState("");
  const [period, setPeriod] = useState<BudgetResource["period"]>("month");
  const choices: Partial<Record<(typeof scopeKinds)[number], { id: string; name: string }[]>> = {
    ...(status === undefined ? {} : { organisation: [status.organisation], project: [status.project] }),
    key: (keys ?? []).filter((key) => key.revoked_at === null),
    agent: agents ?? [],
  };
  const options = choices[kind];
  const id = typedId ?? options?.[0]?.id ?? "";
  const nano = nanoOf(limit);
  const set = useMutation({
    mutationFn: () =>
      getJson<BudgetResource>("/api/budgets", {
        method: "PUT",
        body: { scope: { kind, id: id.trim() }, limit_nano: nano, period },
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
      disabled={nano === undefined || id.trim() === ""}
      onSubmit={() => set.mutate()}
    >
      <label className="field">
        <span className="label">Of</span>
        <select
          className="input"
          value={kind}
          onChange={(event) => {
            setKind(event.target.value as (typeof scopeKinds)[number]);
            setTypedId(undefined);
          }}
        >
          {scopeKinds.map((each) => (
            <option key={each}>{each}</option>
          ))}
        </select>
      </label>
      <label className="field">
        <span className="label">{kind === "run" ? "Id of the run" : "Which"}</span>
        {options === undefined ? (
          <input
            className="input mono"
            value={id}
            placeholder="run_"
            onChange={(event) => setTypedId(event.target.value)}
          />
        ) : (
          <select className="input" value={id} onChange={(event) => setTypedId(event.target.value)}>
            {options.map((option) => (
              <option key={option.id} value={option.id}>
                {option.name}
              </option>
            ))}
          </select>
        )}
      </label>
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
      <p className="muted">A budget that exists gets the new limit and period; what was spent stands.</p>
    </FormDialog>
  );
}
