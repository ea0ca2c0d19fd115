export { Database, type Queryable } from "./database.ts";
export { newProcessId, processGone, processNamespace } from "./process.ts";
export { LockTakenError, Session, type LockKey, type LostReason, type Watcher } from "./session.ts";
export { limits as storeLimits } from "./limits.ts";
export { migrate, migratedAt, MigrationError, readMigrations } from "./migrate.ts";
export { openExternal, openMigrated, untilServing, type ExternalUrls } from "./open.ts";
export { preparePostgres, PostgresSetupError, type PostgresCommand, type PostgresOptions } from "./postgres.ts";
export { isSuperuser, prepareRoles, runtimeRole, superuserAdvice, urlAs } from "./roles.ts";
export type { DatabaseUrls, RolePasswords } from "./roles.ts";
export {
  blobFields,
  BlobMissingError,
  canonicalJson,
  getBlob,
  getBlobs,
  putBlob,
  refOf,
  type BlobRef,
} from "./blobs.ts";
export { isOutcomeUnknown, isRowRefused, isStorageFull, isStoreAway, StoreUnavailableError } from "./failures.ts";
export { newId, type IdPrefix } from "./ids.ts";
export { isStorable, storable, unstorable } from "./text.ts";
