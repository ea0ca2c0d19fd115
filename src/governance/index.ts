export { Identity, type Key, type Tenant } from "./identity/identity.ts";
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
export { assertAuthorised, authorise, isForOwners, reachOf, type Denial, type Resource } from "./policy/authorise.ts";
export { actions, type Action } from "./policy/rules.ts";
export { SecretError, Secrets, type Secret, type SecretName } from "./vault/secrets.ts";
export type { KeyPrincipal, Principal, Reach, Role, RunPrincipal } from "./types.ts";
