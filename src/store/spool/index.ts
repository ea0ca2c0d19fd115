export { claimFolder } from "./owner.ts";
export { readFolder, spoolFolders } from "./folder.ts";
export { SpoolReader } from "./reader.ts";
export { newSpoolId, SpoolWriter } from "./writer.ts";
