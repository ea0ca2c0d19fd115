export { Database, type Listener, type Queryable } from "./database.ts";
export { migrate, MigrationError, readMigrations } from "./migrate.ts";
export { preparePostgres, PostgresSetupError, type PostgresCommand, type PostgresOptions } from "./postgres.ts";
export { isSuperuser, prepareRoles, runtimeRole, superuserAdvice, urlAs } from "./roles.ts";
export type { DatabaseUrls, RolePasswords } from "./roles.ts";
export { BlobMissingError, canonicalJson, getBlob, putBlob, refOf, type BlobRef } from "./blobs.ts";
export { newId, type IdPrefix } from "./ids.ts";
export type { Tables } from "./tables.ts";
