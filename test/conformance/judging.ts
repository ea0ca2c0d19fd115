// When a run of a suite passes: every failure is known with its reason, and what is known still fails.
import type { Outcome, Suite } from "./suites.ts";

/** What is wrong with a run, by test; empty where nothing is. */
export function problemsOf({ known }: Pick<Suite, "known">, outcomes: readonly Outcome[]): Record<string, string> {
  if (outcomes.length === 0) return { suite: "it ran no test" };
  const failed = outcomes.filter(({ status }) => status === "failed");
  const unknown = failed.filter(({ id }) => !Object.hasOwn(known, id)).map(({ id, why }) => [id, why]);
  const mended = Object.keys(known)
    .filter((id) => !failed.some((one) => one.id === id))
    .map((id) => [id, "is known to fail and does not"]);
  return Object.fromEntries([...unknown, ...mended]);
}
