// Bounds of this room.
export const limits = {
  /** Newest live events kept per organisation, for readers that reconnect. */
  liveEventsKept: 1000,
  /** Distinct model names that metrics tell apart; further ones are counted as `other`. */
  modelsInMetrics: 200,
} as const;
