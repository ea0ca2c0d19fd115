// What one decision of governance costs, in nanoseconds of this thread's CPU time: the questions that the token path asks for each call and
// each tool call, and those of routes. Each round asks one question of a thousand principals in turn, so that no answer comes from a
// value that the compiler has seen to be constant. The token path's bound is 5 microseconds.
//
//   node bench/authorise.ts [--rounds 20] [--json FILE]
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { authorise, type Action, type Principal, type Resource } from "../src/governance/index.ts";
import { testPrincipal, testRunPrincipal } from "../src/governance/testing.ts";

const { values } = parseArgs({ options: { rounds: { type: "string", default: "20" }, json: { type: "string" } } });
const rounds = Number(values.rounds);
/** Enough for tens of milliseconds: the clock of CPU time moves in steps of some milliseconds. */
const askedPerRound = 500_000;
const boundNs = 5_000;

const tenants = Array.from({ length: 1_000 }, (_, at) => ({
  organisation: `org_${at}`,
  project: `prj_${at}`,
  key: `key_${at}`,
}));
const members = tenants.map((tenant) => testPrincipal({ ...tenant, role: "member" }));
const owners = tenants.map((tenant) => testPrincipal(tenant));
const runs = tenants.map((tenant) => testRunPrincipal({ ...tenant, role: "member" }));

interface Question {
  name: string;
  principals: Principal[];
  action: Action;
  resource: (of: Principal) => Resource;
  allowed: boolean;
}

const own = ({ organisation, project }: Principal): Resource => ({ organisation, project });
const foreign = ({ project }: Principal): Resource => ({ organisation: "org_x", project });
const settled = (of: Principal): Resource => ({ ...own(of), settles: { startedBy: "key_x", otherOwners: true } });

const questions: Question[] = [
  { name: "a key's call of a model", principals: members, action: "call.create", resource: own, allowed: true },
  { name: "a run's call of a model", principals: runs, action: "call.create", resource: own, allowed: true },
  { name: "a run's call of a tool", principals: runs, action: "tool.call", resource: own, allowed: true },
  { name: "another tenant's model", principals: members, action: "call.create", resource: foreign, allowed: false },
  { name: "a list of calls", principals: members, action: "calls.read", resource: own, allowed: true },
  { name: "a new key, for an owner", principals: owners, action: "keys.create", resource: own, allowed: true },
  { name: "a new key, for a member", principals: members, action: "keys.create", resource: own, allowed: false },
  {
    name: "an owner's word on an effect",
    principals: owners,
    action: "effects.settle",
    resource: settled,
    allowed: true,
  },
  { name: "an action without a rule", principals: owners, action: "none" as Action, resource: own, allowed: false },
];

/** Nanoseconds of CPU time for one question, the resource's object included, as its callers make it. */
function ask({ principals, action, resource, allowed }: Question): number {
  const before = process.threadCpuUsage();
  let yes = 0;
  for (let at = 0; at < askedPerRound; at++) {
    const principal = principals[at % principals.length]!;
    if (authorise(principal, action, resource(principal)).allowed) yes++;
  }
  const { user, system } = process.threadCpuUsage(before);
  if (yes !== (allowed ? askedPerRound : 0)) throw new Error(`${action} was answered otherwise than expected.`);
  return ((user + system) * 1_000) / askedPerRound;
}

const rows = questions.map((question) => {
  for (let warm = 0; warm < 2; warm++) ask(question);
  const costs = Array.from({ length: rounds }, () => ask(question)).toSorted((a, b) => a - b);
  const at = (share: number) => Math.round(costs[Math.min(costs.length - 1, Math.floor(costs.length * share))]!);
  return { question: question.name, action: question.action, medianNs: at(0.5), p95Ns: at(0.95), mostNs: at(1) };
});

console.log(`${cpus()[0]!.model}, Node ${process.versions.node}; ${rounds} rounds of ${askedPerRound} questions\n`);
console.log(`${"QUESTION".padEnd(32)}${"ACTION".padEnd(18)}MEDIAN NS   P95 NS  MOST NS`);
for (const row of rows) {
  const numbers = [row.medianNs, row.p95Ns, row.mostNs].map((ns) => String(ns).padStart(9)).join("");
  console.log(`${row.question.padEnd(32)}${row.action.padEnd(18)}${numbers}`);
}
if (values.json !== undefined) writeFileSync(values.json, JSON.stringify(rows, undefined, 2));
const dearest = Math.max(...rows.map(({ p95Ns }) => p95Ns));
console.log(`\nThe bound of the token path is ${boundNs} ns for a decision; the dearest here is ${dearest} ns (p95).`);
if (dearest > boundNs) process.exitCode = 1;
