// Alarms between processes of one database, over NOTIFY, so that each shows those of all. A process tells a change of its alarms at once,
// and every alarm that stands with it again and again: what was missed is known then, and what is not said any more has gone with its
// process. Alarms are few and short (alarms.ts bounds both), and each is told once a minute at most while it is raised again.
import type { Session } from "../store/index.ts";
import type { Alarm, AlarmChange, Alarms } from "./alarms.ts";
import { limits } from "./limits.ts";
import type { Logger } from "./logger.ts";

const channel = "lineshaft_alarms";

interface Message {
  from: string;
  /** `hello`: a process has come, or was away, and does not know what stands. */
  change: AlarmChange["change"] | "hello";
  dismissed?: boolean;
  alarm: Omit<Alarm, "firstAt" | "lastAt"> & { firstAt: string; lastAt: string };
}

interface RelayOptions {
  alarms: Alarms;
  session: Pick<Session, "listen" | "notify" | "processId">;
  log: Logger;
}

/** Tells this process's alarms to the others, and keeps theirs. Answers how to stop. Resolves when it listens. */
export async function relayAlarms({ alarms, session, log }: RelayOptions): Promise<() => void> {
  const from = String(session.processId);
  const send = (message: object) => {
    session.notify(channel, JSON.stringify({ from, ...message })).catch((error: Error) => {
      log.debug({ err: error.message }, "an alarm was not told to other processes");
    });
  };
  const tell = ({ change, dismissed, alarm }: AlarmChange) => {
    const { id, code, message, subject, organisation, clears, count, firstAt, lastAt } = alarm;
    const told = { id, code, message, subject, organisation, clears, count, firstAt, lastAt };
    send({ change, dismissed, alarm: told });
  };
  const tellAll = () => alarms.own().forEach((alarm) => tell({ change: "raised", alarm }));
  const greet = () => {
    send({ change: "hello" });
    tellAll();
  };
  const stop = await session.listen(channel, (text) => hear(alarms, from, text, tellAll), { back: greet });
  alarms.onChange(tell);
  greet();
  const timer = setInterval(tellAll, limits.alarmToldEveryMs).unref();
  return () => {
    clearInterval(timer);
    stop();
  };
}

function hear(alarms: Alarms, own: string, text: string, tellAll: () => void): void {
  let message: Message;
  try {
    message = JSON.parse(text) as Message;
  } catch {
    return;
  }
  const { from, change, dismissed, alarm } = message;
  if (from === own) return;
  if (change === "hello") return tellAll();
  if (change === "gone") return alarms.receiveGone(alarm.id, from, dismissed ?? false);
  const { subject, organisation, firstAt, lastAt } = alarm;
  const received = Object.assign({}, alarm, {
    subject,
    organisation,
    firstAt: new Date(firstAt),
    lastAt: new Date(lastAt),
  });
  alarms.receive(received, from, Date.now() + limits.alarmBelievedMs);
}
