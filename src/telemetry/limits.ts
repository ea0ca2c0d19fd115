// Bounds of this room.
export const limits = {
  /** Newest live events kept per organisation, for readers that reconnect. */
  liveEventsKept: 1000,
  /** A reader that goes on at another process sees again what is younger than this before its last event: clocks and orders differ. */
  liveOverlapMs: 1_000,
  /** Events are told to other processes in groups of this time, and only as many as this. */
  relayEveryMs: 50,
  relayWaiting: 1_000,
  /** A process with readers says so this often; the others tell their events for so long after they heard it. */
  relayWantedEveryMs: 5_000,
  relayWantedMs: 60_000,
  /** Postgres refuses notifications of 8,000 bytes and more; an event of many parts is put together from at most so many. */
  relayPartCharacters: 7_500,
  relayParts: 200,
  /** Distinct model names that metrics tell apart; further ones are counted as `other`. */
  modelsInMetrics: 200,
  /** Distinct alarms (code, subject, organisation) that stand at once; the one raised longest ago makes room. */
  alarmsKept: 200,
  alarmMessageCharacters: 500,
  alarmSubjectCharacters: 200,
  /** An alarm that is raised again and again is logged, and told live, once in this time. */
  alarmLogEveryMs: 60_000,
  alarmStoreRetryMs: 5_000,
  /** A process tells the alarms that stand with it this often, and is believed for so long. */
  alarmToldEveryMs: 10_000,
  alarmBelievedMs: 35_000,
} as const;
