export { Alarms, type Alarm, type AlarmChange, type AlarmRaised } from "./alarms.ts";
export { AlarmStore } from "./alarmStore.ts";
export { createLogger, type Logger, type LoggerOptions } from "./logger.ts";
export { createMetrics, type CallOutcome, type Metrics, type SchedulerNumbers } from "./metrics.ts";
export { LiveEvents, type LiveEventLike, type PublishedEvent } from "./live.ts";
