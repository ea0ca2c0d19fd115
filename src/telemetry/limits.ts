// Bounds of this room.
export const limits = {
  /** Newest live events kept per organisation, for readers that reconnect. */
  liveEventsKept: 1000,
  /** Distinct model names that metrics tell apart; further ones are counted as `other`. */
  modelsInMetrics: 200,
  /** Distinct alarms (code, subject, organisation) that stand at once; the one raised longest ago makes room. */
  alarmsKept: 200,
  alarmMessageCharacters: 500,
  alarmSubjectCharacters: 200,
  /** An alarm that is raised again and again is logged, and told live, once in this time. */
  alarmLogEveryMs: 60_000,
  alarmStoreRetryMs: 5_000,
} as const;
