export { Alarms, type Alarm, type AlarmRaised } from "./alarms.ts";
export { relayAlarms } from "./alarmRelay.ts";
export { AlarmStore } from "./alarmStore.ts";
export { createLogger, type Logger } from "./logger.ts";
export { createMetrics, type MetricFamily, type Metrics, type SchedulerNumbers } from "./metrics.ts";
export { metricsText } from "./processMetrics.ts";
export { LiveRelay } from "./liveRelay.ts";
export { everyProject, LiveEvents, ownersOnly } from "./live.ts";
