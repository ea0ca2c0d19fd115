export { limits as boundedLimits } from "./limits.ts";
export { SchemaBoundError, schemaCost, type SchemaCost } from "./schemaCost.ts";
export {
  boundedSchema,
  CheckBusyError,
  jsonProblem,
  schemaDefect,
  valueProblem,
  type Schema,
  type SchemaProblem,
} from "./schemas.ts";
export { TaskError, ThreadPool, type PoolOptions } from "./threads.ts";
export { readYaml, type Yaml, type YamlProblem } from "./yaml.ts";
export { JsonBoundError, JsonMeter, nextTurn, type JsonBounds } from "./json.ts";
