export { Alarms, type Alarm, type AlarmChange, type AlarmRaised } from "./alarms.ts";
export { AlarmStore } from "./alarmStore.ts";
export { createLogger, type Logger, type LoggerOptions } from "./logger.ts";
export { createMetrics, type CallOutcome, type Metrics, type SchedulerNumbers } from "./metrics.ts";
export {
  everyProject,
  LiveEvents,
  ownersOnly,
  type Audience,
  type LiveEventLike,
  type PublishedEvent,
} from "./live.ts";
