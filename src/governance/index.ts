export { Identity, type Key } from "./identity/identity.ts";
export { principalOfRun } from "./identity/runs.ts";
export {
  currencyOf,
  findIn,
  hasOtherOwnerKey,
  keyName,
  namesIn,
  projectsAmong,
  searchKeys,
} from "./identity/tenants.ts";
export { assertAuthorised, authorise, isForOwners, reachOf, type Resource } from "./policy/authorise.ts";
export { actions, type Action } from "./policy/rules.ts";
export { Seal } from "./vault/seal.ts";
export { listLimits, removeLimit, setLimit } from "./usage/definitions.ts";
export type { Counted } from "./usage/counted.ts";
export { Limiter, type Use } from "./usage/limiter.ts";
export type { UsageLimit } from "./usage/types.ts";
export { SecretError, Secrets, type Secret } from "./vault/secrets.ts";
export type { Principal, Reach, RunPrincipal } from "./types.ts";
