// `lineshaft prove`: whether every figure of money agrees, what was compared, and what is leased and in suspense by name.
import type { Command } from "commander";
import type { Proof, Proofs, Standing, Status } from "../contract/index.ts";
import { verb, type Context } from "./context.ts";
import { count, duration, money, relativeTime, table } from "./format.ts";

export function registerProve(program: Command, context: Context): void {
  verb(program, "prove", {
    about:
      "Prove that bill, settlements, records, entries, balances and budgets agree to the nano; exits with 1 if not",
    examples: ["npx lineshaft prove", "npx lineshaft prove --last --json"],
  })
    .option("--incremental", "only what was posted since the proof before, and what it touches")
    .option("--last", "show the newest proofs instead of making one")
    .action(async (options: { incremental?: boolean; last?: boolean; json?: boolean }) => {
      const { terminal } = context;
      const client = context.client();
      const made = options.last
        ? undefined
        : await client.post<Proof>("/api/proofs", { kind: options.incremental ? "incremental" : "whole" });
      const { data, standing } = await client.get<Proofs>("/api/proofs");
      const proofs = made ? [made] : data;
      if (proofs.some((proof) => proof.discrepancy_count > 0 && !isAnswered(proof, proofs))) process.exitCode = 1;
      if (options.json) return terminal.printJson({ data: proofs, standing });
      if (proofs.length === 0) terminal.note("Nothing was proven yet. Prove it now: npx lineshaft prove");
      for (const proof of proofs)
        for (const line of proofLines(proof, isAnswered(proof, proofs), terminal.now())) terminal.print(line);
      const { currency } = (await client.get<Status>("/api/status")).organisation;
      for (const line of standingLines(standing, currency, terminal.now())) terminal.print(line);
      return undefined;
    });
}

/** Whether a later whole proof has looked at everything again. The alarm `ledger_unequal` goes by the same rule. */
function isAnswered(proof: Proof, proofs: readonly Proof[]): boolean {
  return proofs.some(({ kind, began_at }) => kind === "whole" && Date.parse(began_at) > Date.parse(proof.began_at));
}

function proofLines(proof: Proof, answered: boolean, now: number): string[] {
  const tookMs = new Date(proof.ended_at).getTime() - new Date(proof.began_at).getTime();
  const compared = Object.entries(proof.compared)
    .map(([name, value]) => `${count(value)} ${name}`)
    .join(", ");
  const head = `${proof.kind === "whole" ? "Whole" : "Incremental"} proof, ${relativeTime(proof.ended_at, now)}, in ${duration(tookMs)}: `;
  if (proof.discrepancy_count === 0) return [`${head}all figures agree.`, `  compared: ${compared}`];
  return [
    `${head}${count(proof.discrepancy_count)} figures do not agree.${answered ? " A later proof of everything has answered it." : ""}`,
    `  compared: ${compared}`,
    ...table(proof.discrepancies, [
      { title: "rule", value: (row) => row.rule },
      { title: "of", value: (row) => row.id },
      { title: "expected", value: (row) => row.expected, right: true },
      { title: "found", value: (row) => row.found, right: true },
    ]),
    ...[...new Set(proof.discrepancies.map(({ rule, meaning }) => `${rule}: ${meaning}`))],
  ];
}

/** What is not settled yet, by name. Also for `lineshaft bill`. */
export function standingLines(standing: Standing, currency: string, now: number): string[] {
  const leases = standing.leased.map(
    ({ budget, scope, leased_nano, processes }) =>
      `${money(leased_nano, currency)} of ${budget} (${scope}) is leased to ${processes === 1 ? "one process" : `${count(processes)} processes`}.`,
  );
  const items = standing.suspense.map(
    ({ id, left_nano, reason, created_at }) =>
      `${money(left_nano, currency)} in suspense, ${relativeTime(created_at, now)} (${id}): ${reason}`,
  );
  const more = standing.suspense_count - standing.suspense.length;
  return [
    `Everything up to ${standing.complete_through} is posted.`,
    ...leases,
    ...items,
    ...(more > 0 ? [`${count(more)} older items are in suspense too.`] : []),
  ];
}
