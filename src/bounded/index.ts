export {
  atEndOfTurn,
  each,
  iterated,
  later,
  nextOf,
  type Arrivals,
  type Later,
  type Paced,
  type Taken,
} from "./arrivals.ts";
export { limits as boundedLimits } from "./limits.ts";
export { SchemaBoundError } from "./schemaCost.ts";
export { boundedSchema, CheckBusyError, jsonProblem, schemaDefect, valueProblem, type Schema } from "./schemas.ts";
export { TaskError, ThreadPool, type PoolOptions } from "./threads.ts";
export { readYaml } from "./yaml.ts";
export { Memory, processMemory, type Held } from "./memory.ts";
export { JsonBoundError, JsonMeter, nextTurn, type JsonBounds, type JsonMembers } from "./json.ts";
export { parseParts, parsePartsInTurns } from "./jsonParts.ts";
export { isUtf8, Pieces, slicesOf, textOf, type Bytes } from "./pieces.ts";
export { copied, hasOutline, isSameMember, outlineOf, parseLazily, picked } from "./jsonLazy.ts";
