export { LineshaftError, type FailureDetail } from "./failure.ts";
export { statusOf } from "./statuses.ts";
export { nearest } from "./nearest.ts";
