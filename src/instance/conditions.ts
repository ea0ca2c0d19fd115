// Conditions of the whole instance that a person should know: each is an alarm, and clears where the condition can end.
import type { Database } from "../store/index.ts";
import type { Alarms } from "../telemetry/index.ts";

/** Raises an alarm while the database does not answer; it clears by itself when it answers again. */
export function watchSilence(db: Database, alarms: Alarms): void {
  const code = "store_unavailable";
  db.onSilence((silent) => {
    if (!silent) return alarms.clear({ code });
    alarms.raise({
      code,
      message:
        "The database answers nothing: calls are refused with 503 until it does. Look at its process, its disk and the network to it.",
      clears: true,
    });
  });
}

export function restartAlarm(alarms: Alarms, { times, reason }: { times: number; reason: string }): void {
  alarms.raise({
    code: "main_restarted",
    message: `Lineshaft ${reason}, and was started again (${times === 1 ? "once" : `${times} times`} by now). Runs went on, calls under way were cut. Look at what it printed, and at memory and disk.`,
  });
}

export function storageAlarm(alarms: Alarms, full: boolean): void {
  const code = "storage_full";
  if (!full) return alarms.clear({ code });
  alarms.raise({
    code,
    message:
      "The disk of the home is full: calls and changes are refused with 507 until there is room. Free some space, or move the home to a larger disk.",
    clears: true,
  });
}
