export { Identity, type Key, type Tenant } from "./identity.ts";
export type { Principal, Role } from "./types.ts";
