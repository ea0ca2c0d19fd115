// Alarms: what a person must look at, although every call was answered. An engine claimed more tokens than were held, a disk is
// full, a record was refused by the database.
//
// One alarm is one code and one subject. Raising it again counts instead of adding a row, and is logged at most once a minute, so
// that a defect that repeats a thousand times a second fills neither memory nor the log. Every alarm reaches four receivers: the
// log, the metrics, `/api/status` (and with it `lineshaft status`), and the live events that the console reads.
//
// State of an alarm: raised -> (cleared, when the condition has passed | dismissed, when an owner has seen it) -> gone.
//
// Processes of one database tell each other their alarms (alarmRelay.ts). An alarm stands while one of them says so: it is cleared when
// every process that raised it has cleared it, and dismissed for all at once.
import { hash } from "node:crypto";
import { limits } from "./limits.ts";
import type { Logger } from "./logger.ts";
import type { Metrics } from "./metrics.ts";

export interface AlarmRaised {
  /** What kind of trouble: a constant of the code base, listed in docs/errors.md. It becomes a label of a metric. */
  code: string;
  /** What happened and what to do, for a person. It must hold no prompt, answer or key. */
  message: string;
  /** What it is about (an engine, a model, a table); two subjects are two alarms. */
  subject?: string | undefined;
  /** The tenant concerned; absent: the instance, which every owner sees. */
  organisation?: string | undefined;
  /** The caller watches the condition and clears the alarm when it has passed. Such an alarm is not kept over a restart. */
  clears?: boolean;
}

export interface Alarm {
  id: string;
  code: string;
  message: string;
  subject: string | undefined;
  organisation: string | undefined;
  clears: boolean;
  /** How often it was raised. */
  count: number;
  firstAt: Date;
  lastAt: Date;
}

export type AlarmChange = { change: "raised" | "gone"; alarm: Alarm; dismissed?: boolean };

interface Kept extends Alarm {
  loggedAt: number;
  /** This process has raised it, or an earlier one whose alarms it took over. */
  own: boolean;
  /** Other processes that say that it stands, and until when they are believed. */
  elsewhere: Map<string, number>;
}

/** The alarms that stand, in memory. Raising never throws and never waits; listeners hear every change, and may fail without harm. */
export class Alarms {
  readonly #kept = new Map<string, Kept>();
  readonly #log: Logger;
  readonly #metrics: Pick<Metrics, "alarmRaised" | "alarmsReadBy">;
  readonly #now: () => number;
  readonly #listeners = new Set<(change: AlarmChange) => void>();

  constructor(options: {
    log: Logger;
    metrics: Pick<Metrics, "alarmRaised" | "alarmsReadBy">;
    /** Milliseconds since 1970. */
    now?: () => number;
  }) {
    this.#log = options.log;
    this.#metrics = options.metrics;
    this.#now = options.now ?? Date.now;
    options.metrics.alarmsReadBy(() => {
      const active = new Map<string, number>();
      for (const { code, own } of this.#kept.values()) if (own) active.set(code, (active.get(code) ?? 0) + 1);
      return active;
    });
  }

  /** Raises an alarm, or counts one that stands. Never throws: it is called from loops that must go on. */
  raise(raised: AlarmRaised): void {
    const now = this.#now();
    const id = idOf(raised);
    const known = this.#kept.get(id);
    const alarm: Kept = {
      id,
      code: raised.code,
      message: cut(raised.message, limits.alarmMessageCharacters),
      subject: raised.subject === undefined ? undefined : cut(raised.subject, limits.alarmSubjectCharacters),
      organisation: raised.organisation,
      clears: raised.clears ?? false,
      count: (known?.count ?? 0) + 1,
      firstAt: known?.firstAt ?? new Date(now),
      lastAt: new Date(now),
      loggedAt: known?.own ? known.loggedAt : Number.NEGATIVE_INFINITY,
      own: true,
      elsewhere: known?.elsewhere ?? new Map(),
    };
    // Deleted first, so that the map's order is by the newest raise and the oldest alarm makes room.
    this.#kept.delete(id);
    this.#kept.set(id, alarm);
    this.#metrics.alarmRaised(alarm.code);
    if (now - alarm.loggedAt >= limits.alarmLogEveryMs) {
      alarm.loggedAt = now;
      const { code, subject, organisation, count, message } = alarm;
      this.#log.error({ alarm: code, subject, organisation, count }, message);
      this.#tell({ change: "raised", alarm });
    }
    for (const oldest of this.#kept.values()) {
      if (this.#kept.size <= limits.alarmsKept) break;
      this.#remove(oldest);
    }
  }

  /** Brings back an alarm that an earlier process raised. It is neither logged nor counted again. */
  restore(alarm: Alarm): void {
    if (this.#kept.has(alarm.id)) return;
    const loggedAt = Number.NEGATIVE_INFINITY;
    this.#kept.set(alarm.id, Object.assign(alarm, { loggedAt, own: true, elsewhere: new Map<string, number>() }));
  }

  /** Another process says that an alarm stands there, and is believed until then. It is neither logged, counted nor told again. */
  receive(alarm: Alarm, from: string, untilMs: number): void {
    const known = this.#kept.get(alarm.id);
    if (!known) {
      const loggedAt = Number.NEGATIVE_INFINITY;
      const kept: Kept = Object.assign(alarm, { loggedAt, own: false, elsewhere: new Map([[from, untilMs]]) });
      this.#kept.set(alarm.id, kept);
      for (const oldest of this.#kept.values()) if (this.#kept.size > limits.alarmsKept) this.#kept.delete(oldest.id);
      return;
    }
    known.elsewhere.set(from, untilMs);
    known.count = Math.max(known.count, alarm.count);
    if (alarm.lastAt > known.lastAt) known.lastAt = alarm.lastAt;
  }

  /** Another process says that an alarm has gone there; `dismissed`: it has gone everywhere. */
  receiveGone(id: string, from: string, dismissed: boolean): void {
    const known = this.#kept.get(id);
    if (!known) return;
    known.elsewhere.delete(from);
    if (dismissed || (!known.own && known.elsewhere.size === 0)) this.#kept.delete(id);
  }

  /** Alarms that this process has raised and that stand. */
  own(): Alarm[] {
    return [...this.#kept.values()].filter(({ own }) => own);
  }

  /** The condition has passed: its alarm goes away by itself. Does nothing when it was not raised. */
  clear(of: Pick<AlarmRaised, "code" | "subject" | "organisation">): void {
    const alarm = this.#kept.get(idOf(of));
    if (!alarm?.own) return;
    alarm.own = false;
    this.#forgetSilent();
    if (this.#kept.has(alarm.id) && alarm.elsewhere.size === 0) this.#kept.delete(alarm.id);
    this.#tell({ change: "gone", alarm });
    this.#log.info({ alarm: alarm.code, subject: alarm.subject, count: alarm.count }, "alarm cleared");
  }

  /** An owner has seen it. Answers undefined when the organisation has no such alarm. */
  dismiss(id: string, organisation: string): Alarm | undefined {
    const alarm = this.#kept.get(id);
    if (!alarm || !concerns(alarm, organisation)) return undefined;
    this.#kept.delete(alarm.id);
    this.#tell({ change: "gone", alarm, dismissed: true });
    return alarm;
  }

  /** Alarms of an organisation and of the whole instance, newest first; every alarm when no organisation is given. */
  list(organisation?: string): Alarm[] {
    this.#forgetSilent();
    const all = [...this.#kept.values()].toReversed();
    return organisation === undefined ? all : all.filter((alarm) => concerns(alarm, organisation));
  }

  onChange(listener: (change: AlarmChange) => void): void {
    this.#listeners.add(listener);
  }

  /** Drops conditions of processes that have ended. Alarms that are no conditions stay until they are dismissed. */
  #forgetSilent(): void {
    const now = this.#now();
    for (const { id, own, clears, elsewhere } of this.#kept.values()) {
      for (const [from, untilMs] of elsewhere) if (clears && untilMs <= now) elsewhere.delete(from);
      if (!own && elsewhere.size === 0) this.#kept.delete(id);
    }
  }

  #remove(alarm: Kept): void {
    this.#kept.delete(alarm.id);
    this.#tell({ change: "gone", alarm });
  }

  #tell(change: AlarmChange): void {
    for (const listener of this.#listeners) {
      try {
        listener(change);
      } catch (error) {
        this.#log.warn({ err: (error as Error).message }, "an alarm's listener failed");
      }
    }
  }
}

const concerns = (alarm: Alarm, organisation: string): boolean =>
  alarm.organisation === undefined || alarm.organisation === organisation;

/** A short id made of code, tenant and subject: the same trouble has the same id, so raising it twice is one alarm. */
function idOf({ code, subject, organisation }: Pick<AlarmRaised, "code" | "subject" | "organisation">): string {
  const parts = [code, organisation, subject === undefined ? undefined : cut(subject, limits.alarmSubjectCharacters)];
  return `alarm_${hash("sha256", JSON.stringify(parts), "hex").slice(0, 12)}`;
}

/** A text that a log line, a table and a page can show: well formed, without control characters, and bounded. */
function cut(text: string, mostCharacters: number): string {
  const plain = text.toWellFormed().replace(/\p{Cc}+/gu, " ");
  return plain.length <= mostCharacters ? plain : `${plain.slice(0, mostCharacters - 1).toWellFormed()}…`;
}
