// One decision on what may be done. Routes, the gateway and the effect edge ask here, and no other place looks at a role. A decision is
// pure: it does no input or output, so that it costs the token path well under a microsecond (bench/authorise.ts), and the same
// question has the same answer everywhere.
import { LineshaftError } from "../../errors/index.ts";
import type { Principal, Reach } from "../types.ts";
import { rules, type Action, type Rule } from "./rules.ts";

/** What something is done to. */
export interface Resource {
  /** The organisation that owns it; absent: it is the instance's. */
  organisation?: string;
  /** The project that owns it; absent: it is the organisation's, and no rule of projects covers it. */
  project?: string;
  /** For `effects.settle`: who started the run, and whether the organisation has an owner's key in force beside the one that asks. */
  settles?: { startedBy: string | null; otherOwners: boolean };
}

/** The answer to a question that was refused: a stable code, a sentence for a person, and what to do next. */
interface Denial {
  allowed: false;
  code: "owner_only" | "attestation_own_run" | "not_found" | "action_denied";
  message: string;
  hint: string;
}

type Decision = { allowed: true } | Denial;

const allowed: Decision = { allowed: true };

/** A thing of another tenant is answered as if it were not there, so that its existence is not told. */
const outside: Denial = {
  allowed: false,
  code: "not_found",
  message: "There is no such thing.",
  hint: "It may be another project's, or misspelt.",
};

const ownRun: Denial = {
  allowed: false,
  code: "attestation_own_run",
  message: "The key that started a run cannot settle its effects while the organisation has another owner's key.",
  hint: "Settle it with another owner's key.",
};

const failed: Denial = {
  allowed: false,
  code: "action_denied",
  message: "Whether this may be done could not be decided, so it is refused.",
  hint: "Report it with the log's lines of this request's id (x-request-id).",
};

/**
 * Whether a principal may do this. Never throws: an action that is not in the rules and a decision that fails are denials. A thing
 * outside what the principal's rule covers is `not_found`, whatever its role.
 */
export function authorise(principal: Principal, action: Action, resource: Resource): Decision {
  try {
    const rule = rules.get(action);
    if (rule === undefined) return failed;
    if (!covers(rule, principal, resource)) return outside;
    if (principal.kind === "run" && rule.byRuns !== true) return keysOnly(action);
    if (rule.least === "owner" && principal.role !== "owner") return ownersOnly(rule);
    return action === "effects.settle" ? maySettle(principal, resource) : allowed;
  } catch {
    return failed;
  }
}

/** Throws LineshaftError with the denial's code, sentence and hint where the principal may not do this. */
export function assertAuthorised(principal: Principal, action: Action, resource: Resource): void {
  const decision = authorise(principal, action, resource);
  if (!decision.allowed) throw new LineshaftError(decision);
}

/**
 * What a principal sees of the things that an action reads: every thing in its reach is one that `authorise` allows it to read. Throws
 * TypeError for things of the instance, which belong to no organisation.
 */
export function reachOf(principal: Principal, action: Action): Reach {
  const { organisation, project } = principal;
  const within = rules.get(action)?.within;
  if (within === "project") return [organisation, project];
  if (within === "organisation") return [organisation, null];
  if (within === "view") return [organisation, principal.role === "owner" ? null : project];
  throw new TypeError(`${action} reads nothing that belongs to an organisation.`);
}

/** Whether some key of an organisation is refused the action because of its role. */
export function isForOwners(action: Action): boolean {
  return rules.get(action)?.least === "owner";
}

function covers({ within }: Rule, principal: Principal, resource: Resource): boolean {
  if (within === "instance") return true;
  if (resource.organisation !== principal.organisation) return false;
  if (within === "organisation") return true;
  if (within === "view" && principal.role === "owner") return true;
  return resource.project === principal.project;
}

const denials = new Map<Rule, Denial>();

/** The denial of a rule, made once. */
function ownersOnly(rule: Rule): Denial {
  let denial = denials.get(rule);
  if (!denial) {
    const hint = rule.hint ?? "Use the key in LINESHAFT_HOME/credentials, or ask an owner.";
    denial = { allowed: false, code: "owner_only", message: `Only an owner's key may ${rule.doing}.`, hint };
    denials.set(rule, denial);
  }
  return denial;
}

function keysOnly(action: Action): Denial {
  return {
    allowed: false,
    code: "action_denied",
    message: `A run may not do ${action}: it may call models and tools.`,
    hint: "Do it with a key.",
  };
}

/** A person's word on an effect is not given by the key that gains from it. A single owner may settle its own runs. */
function maySettle({ key }: Principal, { settles }: Resource): Decision {
  if (settles === undefined) return failed;
  return settles.startedBy === key && settles.otherOwners ? ownRun : allowed;
}
