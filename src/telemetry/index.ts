export { Alarms, type Alarm, type AlarmRaised } from "./alarms.ts";
export { relayAlarms } from "./alarmRelay.ts";
export { AlarmStore } from "./alarmStore.ts";
export { createLogger, type Logger } from "./logger.ts";
export { createMetrics, type MetricFamily, type Metrics } from "./metrics.ts";
export type { SchedulerNumbers } from "./schedulerMetrics.ts";
export { metricsText } from "./processMetrics.ts";
export { LiveRelay } from "./liveRelay.ts";
export { everyProject, LiveEvents, ownersOnly } from "./live.ts";
