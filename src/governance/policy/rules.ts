// What may be done, and by which role to which things. Every action that a route, the gateway or a run asks for is a line here; an action
// without a line is denied. Owners and members are the only roles.
import type { Role } from "../types.ts";

export interface Rule {
  /** The least role that may. An owner may all that a member may. */
  least: Role;
  /**
   * To what it may be done: things of the instance, of the principal's organisation, of its project, or of its view. An owner's view is
   * its organisation, a member's its project.
   */
  within: "instance" | "organisation" | "project" | "view";
  /** The end of the sentence "Only an owner's key may ...", for actions of owners. */
  doing?: string;
  /** What to do next, where it is not the usual advice. */
  hint?: string;
  /** Runs may do it too. Everything else is for keys alone. */
  byRuns?: true;
}

const table = {
  "agents.publish": { least: "owner", within: "project", doing: "deploy agents" },
  "agents.read": { least: "member", within: "project" },
  "alarms.dismiss": { least: "owner", within: "organisation", doing: "dismiss alarms" },
  "alarms.read": { least: "owner", within: "organisation", doing: "read alarms" },
  "batches.cancel": { least: "member", within: "project" },
  "batches.create": { least: "member", within: "project" },
  "batches.read": { least: "member", within: "project" },
  "batches.remove": { least: "member", within: "project" },
  "bill.read": { least: "member", within: "view" },
  "budgets.read": { least: "member", within: "view" },
  "budgets.remove": { least: "owner", within: "organisation", doing: "remove budgets" },
  "budgets.set": { least: "owner", within: "organisation", doing: "set budgets" },
  "call.create": { least: "member", within: "project", byRuns: true },
  "calls.read": { least: "member", within: "view" },
  "deployments.publish": { least: "owner", within: "instance", doing: "publish deployments" },
  "deployments.read": { least: "member", within: "instance" },
  "deployments.remove": { least: "owner", within: "instance", doing: "remove deployments" },
  "effects.settle": {
    least: "owner",
    within: "project",
    doing: "settle an effect whose end is not known",
    hint: "Ask an owner to look at the tool's system and to settle it.",
  },
  "engines.add": { least: "owner", within: "organisation", doing: "add engines" },
  "engines.read": { least: "member", within: "organisation" },
  "engines.remove": { least: "owner", within: "organisation", doing: "remove engines" },
  "engine_addresses.read": { least: "owner", within: "organisation", doing: "read the addresses of engines" },
  "events.read": { least: "member", within: "view" },
  "files.create": { least: "member", within: "project" },
  "files.read": { least: "member", within: "project" },
  "files.remove": { least: "member", within: "project" },
  "keys.create": { least: "owner", within: "organisation", doing: "make keys" },
  "keys.read": { least: "owner", within: "organisation", doing: "list keys" },
  "keys.revoke": { least: "owner", within: "organisation", doing: "revoke keys" },
  "kv_cache.erase": { least: "owner", within: "project", doing: "erase KV caches" },
  "limits.read": { least: "member", within: "view" },
  "limits.remove": { least: "owner", within: "organisation", doing: "remove limits" },
  "limits.set": { least: "owner", within: "organisation", doing: "set limits" },
  "metrics.read": { least: "owner", within: "instance", doing: "read metrics" },
  "models.read": { least: "member", within: "organisation" },
  "overview.read": { least: "member", within: "view" },
  "prices.read": { least: "member", within: "organisation" },
  "prices.set": { least: "owner", within: "organisation", doing: "set prices" },
  "programs.read": { least: "member", within: "view" },
  "proofs.make": { least: "owner", within: "instance", doing: "prove the ledger" },
  "proofs.read": { least: "owner", within: "organisation", doing: "read proofs of the ledger" },
  "responses.configure": { least: "owner", within: "project", doing: "set what is kept of responses" },
  "responses.read": { least: "member", within: "project" },
  "responses.remove": { least: "member", within: "project" },
  "routes.read": { least: "member", within: "organisation" },
  "routes.remove": { least: "owner", within: "organisation", doing: "remove routes of models" },
  "routes.set": { least: "owner", within: "organisation", doing: "set routes of models" },
  "runs.create": { least: "member", within: "project" },
  "runs.read": { least: "member", within: "project" },
  "runs.rebuild": { least: "owner", within: "instance", doing: "rebuild runs" },
  "runs.resume": { least: "owner", within: "instance", doing: "resume runs that a restore has paused" },
  "runs.stop": { least: "member", within: "project" },
  "scheduler.read": { least: "member", within: "organisation" },
  "schemas.read": { least: "member", within: "instance" },
  "search.read": { least: "member", within: "view" },
  "secrets.read": { least: "owner", within: "organisation", doing: "list secrets" },
  "secrets.remove": { least: "owner", within: "organisation", doing: "remove secrets" },
  "secrets.set": { least: "owner", within: "organisation", doing: "set secrets" },
  "status.read": { least: "member", within: "organisation" },
  "tool.call": { least: "member", within: "project", byRuns: true },
} as const satisfies Record<string, Rule>;

/** What a principal may ask to do, as `noun.verb`. */
export type Action = keyof typeof table;

/** Every action, in the order of their names. */
export const actions = Object.keys(table) as Action[];

/** The rules by action. A name from outside the table has none, whatever objects inherit. */
export const rules: ReadonlyMap<string, Rule> = new Map(Object.entries(table));
