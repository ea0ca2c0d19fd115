// What a start says of secrets that a home of an earlier version used: what they became, or what their owner must do.
import type { CarriedSecret } from "../agents/index.ts";
import type { Alarms } from "../telemetry/index.ts";

export function reportCarried(
  carried: CarriedSecret[],
  to: { report: { note(line: string): void }; alarms: Pick<Alarms, "raise"> },
): void {
  for (const { name, project, organisation, hosts, from, refused } of carried) {
    if (refused === undefined) {
      to.report.note(
        `Secret ${name} belongs to project ${project} now and is sent to ${hosts.join(", ")} only. ${from} is not read any more: change it with \`npx lineshaft secrets set ${name}\`.`,
      );
      continue;
    }
    const host = hosts.map((one) => `--host ${one}`).join(" ") || "--host HOST";
    to.alarms.raise({
      code: "secret_not_carried",
      subject: `${project}/${name}`,
      organisation,
      // Raised again by each start while there is no secret of that name.
      clears: true,
      message: `Agents of project ${project} use the secret '${name}', which was not carried over: ${refused}. Set it: npx lineshaft secrets set ${name} ${host} --project ${project} < FILE`,
    });
  }
}
