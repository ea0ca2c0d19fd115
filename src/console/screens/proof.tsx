// The proof of the ledger: when it last ran, what it compared and found, and what is leased and in suspense by name. For owners.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import type { ReactNode } from "react";
import type { Proof, Standing } from "../../contract/index.ts";
import { getJson } from "../api/client.ts";
import { proofsQuery, statusQuery } from "../api/queries.ts";
import { full, moment, moneyScale } from "../format.ts";
import { Failure, SkeletonRows } from "../ui/states.tsx";
import { Command, Money } from "../ui/text.tsx";

export function ProofPanel({ currency }: { currency: string }) {
  const owner = useQuery(statusQuery).data?.role === "owner";
  const client = useQueryClient();
  const { data, error, refetch } = useQuery({ ...proofsQuery, enabled: owner });
  const prove = useMutation({
    mutationFn: () => getJson<Proof>("/api/proofs", { method: "POST", body: { kind: "whole" } }),
    onSettled: () => client.invalidateQueries({ queryKey: ["proofs"] }),
  });
  if (!owner) return null;
  return (
    <section className="panel" aria-labelledby="proof">
      <div className="panel-head">
        <h2 id="proof">Proof</h2>
        <span className="aside">
          <button type="button" className="button small" disabled={prove.isPending} onClick={() => prove.mutate()}>
            {prove.isPending ? "Proving" : "Prove now"}
          </button>
        </span>
      </div>
      <div className="panel-body">
        <p className="soft">
          Bill, settlements, records of attempts, entries, balances and budgets are compared to the nano, and leases and
          suspense by name.
        </p>
        {prove.error === null ? null : <Failure error={prove.error} retry={() => prove.mutate()} />}
        {data === undefined ? (
          error === null ? (
            <SkeletonRows rows={2} />
          ) : (
            <Failure error={error} retry={() => void refetch()} />
          )
        ) : (
          <>
            {data.data.length === 0 ? <p>Nothing was proven yet.</p> : null}
            {data.data.map((proof) => (
              <Found key={proof.kind} proof={proof} />
            ))}
            <NotSettled standing={data.standing} currency={currency} />
          </>
        )}
      </div>
      <div className="how-foot">
        <span className="muted">The same in a terminal; it exits with 1 if something does not agree</span>
        <Command>npx lineshaft prove</Command>
      </div>
    </section>
  );
}

/** One proof: a sentence, and what does not agree. */
function Found({ proof }: { proof: Proof }) {
  const compared = Object.entries(proof.compared)
    .map(([name, value]) => `${full(value)} ${name}`)
    .join(", ");
  const agrees = proof.discrepancy_count === 0;
  return (
    <>
      <p data-tip={compared}>
        <b className={agrees ? "good" : "bad"}>
          {agrees ? "All figures agree" : `${full(proof.discrepancy_count)} figures do not agree`}
        </b>{" "}
        <span className="muted">
          {proof.kind} proof, {moment(proof.ended_at)}: {compared}
        </span>
      </p>
      {proof.discrepancies.length === 0 ? null : (
        <MiniTable heads={["What must hold", "Of", "Expected", "Found"]}>
          {proof.discrepancies.map((one) => (
            <tr key={`${one.rule} ${one.id}`}>
              <th scope="row">{one.meaning}</th>
              <td className="mono">{one.id}</td>
              <td className="num">{one.expected}</td>
              <td className="num">{one.found}</td>
            </tr>
          ))}
        </MiniTable>
      )}
    </>
  );
}

function MiniTable({ heads, children }: { heads: readonly string[]; children: ReactNode }) {
  return (
    <table className="mini">
      <thead>
        <tr>
          {heads.map((head) => (
            <th key={head} scope="col">
              {head}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>{children}</tbody>
    </table>
  );
}

/** What processes have leased and what stands in suspense, by name. */
function NotSettled({ standing, currency }: { standing: Standing; currency: string }) {
  const scale = moneyScale([
    ...standing.leased.map((one) => one.leased_nano),
    ...standing.suspense.map((one) => one.left_nano),
  ]);
  const more = standing.suspense_count - standing.suspense.length;
  return (
    <>
      <p className="muted">Everything up to {moment(standing.complete_through)} is posted.</p>
      {standing.leased.length + standing.suspense.length === 0 ? null : (
        <MiniTable heads={["Not settled yet", "Why", "Amount"]}>
          {standing.leased.map((one) => (
            <tr key={one.budget}>
              <th scope="row">{one.scope}</th>
              <td>leased to {one.processes === 1 ? "one process" : `${full(one.processes)} processes`}</td>
              <td>
                <Money nano={one.leased_nano} currency={currency} scale={scale} />
              </td>
            </tr>
          ))}
          {standing.suspense.map((one) => (
            <tr key={one.id}>
              <th scope="row" className="mono">
                {one.id}
              </th>
              <td>{one.reason}</td>
              <td>
                <Money nano={one.left_nano} currency={currency} scale={scale} />
              </td>
            </tr>
          ))}
        </MiniTable>
      )}
      {more > 0 ? <p className="muted">{full(more)} older items are in suspense too.</p> : null}
    </>
  );
}
