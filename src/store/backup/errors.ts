// Why a backup cannot be read or made, in words for a person.
import { LineshaftError } from "../../errors/index.ts";

const words = {
  backup_damaged: {
    message: "The backup is damaged, so nothing was changed.",
    hint: "Take another copy of it, or an older backup. `npx lineshaft backup verify FILE` checks a file without changing anything.",
  },
  backup_unknown: {
    message: "This file cannot be read as a backup.",
    hint: "Name a file that `npx lineshaft backup` of this version or an older one has made.",
  },
  backup_locked: {
    message: "The backup is encrypted, and this passphrase does not open it.",
    hint: "Add --passphrase-file FILE with the passphrase that the backup was made with.",
  },
  backup_failed: {
    message: "No backup was made.",
    hint: "See the reason above, then try again.",
  },
  restore_refused: {
    message: "Nothing was restored, because the place for it is not empty.",
    hint: "Restore into an empty folder (LINESHAFT_HOME) and, with DATABASE_URL, into an empty database.",
  },
} as const;

/** A backup that cannot be made, read or restored. Codes are listed in docs/errors.md. */
export class BackupError extends LineshaftError {
  constructor(code: keyof typeof words, detail: { why: string; hint?: string; cause?: unknown }) {
    super({ code, ...words[code], ...detail });
  }
}
