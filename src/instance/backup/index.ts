export { makeBackup, verifyBackup, type Backup } from "./backup.ts";
export { restoreBackup, type Restored } from "./restore.ts";
