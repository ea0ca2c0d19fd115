export { LineshaftError, type FailureDetail } from "./failure.ts";
export { nearest } from "./nearest.ts";
