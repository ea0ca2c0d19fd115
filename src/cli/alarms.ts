// `lineshaft alarms`: lists conditions that need a person's attention although calls are answered, and dismisses them.
import type { Command } from "commander";
import type { AlarmResource } from "../contract/index.ts";
import { group, verb, type Context } from "./context.ts";
import { uniqueByPrefix } from "./nearest.ts";
import { alarmLines } from "./status.ts";

const listCommand = "npx lineshaft alarms list";

export function registerAlarms(program: Command, context: Context): void {
  const alarms = group(program, "alarms", {
    about: "Alarms: what an owner must look at",
    examples: [listCommand, "npx lineshaft alarms list --json"],
  });

  verb(alarms, "list", {
    about: "List the alarms that stand, newest first",
    examples: [listCommand, "npx lineshaft alarms list --json"],
  }).action(async (options: { json?: boolean }) => {
    const { terminal } = context;
    const { data } = await context.client().get<{ data: AlarmResource[] }>("/api/alarms");
    if (options.json) return terminal.printJson({ data });
    if (data.length === 0) return terminal.note("No alarm stands.");
    for (const line of alarmLines(data, terminal.now())) terminal.print(line);
  });

  verb(alarms, "dismiss <id>", {
    about:
      "Dismiss an alarm that was seen, by its id or a unique beginning of it; it stands again if it is raised again",
    examples: ["npx lineshaft alarms dismiss alarm_5f2a81c07d3e", "npx lineshaft alarms dismiss 5f2a --json"],
  }).action(async (id: string, options: { json?: boolean }) => {
    const client = context.client();
    const { data } = await client.get<{ data: AlarmResource[] }>("/api/alarms");
    const ids = data.map((alarm) => alarm.id);
    const found = uniqueByPrefix("alarm", id, ids, listCommand);
    const dismissed = await client.delete<AlarmResource>(`/api/alarms/${found}`);
    if (options.json) return context.terminal.printJson(dismissed);
    context.terminal.print(`Alarm ${found} (${dismissed.code}) is dismissed.`);
  });
}
