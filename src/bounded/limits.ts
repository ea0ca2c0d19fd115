// Bounds of this room: on the size of what is compiled, parsed or checked, and on the time and memory of doing it.
/** Exported as `boundedLimits`: callers name them in refusals. */
export const limits = {
  /** A JSON schema as text. */
  schemaBytes: 256 * 1024,
  /** JSON values in a schema: objects, lists, strings, numbers. 5,000 properties with a type and a description fit. */
  schemaNodes: 20_000,
  /** Nesting of the schema's JSON; a level of `properties` takes two. */
  schemaDepth: 200,
  /** Alternatives of one anyOf, oneOf or allOf: ajv's time grows with their square (2,000 took 9 s, 256 take 0.2 s). */
  schemaBranches: 256,
  /** Values of all `enum` together. */
  schemaEnumValues: 5_000,
  /** Subschemas that apply to one place of a value once every $ref, anyOf, oneOf, allOf, not and if is followed. */
  schemaExpansion: 10_000,
  /** JSON values in all schemas of one request. */
  requestSchemaNodes: 60_000,

  /** A value that is checked against a schema, as JSON text. */
  valueBytes: 4 * 1024 * 1024,

  /** JSON text up to this length is parsed on the caller's thread: at most 16,000 values, about 4 ms. */
  parsedHereBytes: 32 * 1024,

  /** Nesting of a manifest's YAML. */
  yamlDepth: 100,
  /** Keys, items and scalars of a manifest. */
  yamlNodes: 50_000,
  /** Problems of one manifest that are told; a person corrects these first. */
  yamlProblems: 20,

  /** Threads that compile, parse and check. The second is started when the first is busy. */
  threads: 2,
  /** CPU time of one task; the usual one takes a millisecond. */
  taskCpuMs: 2_000,
  /** Time of one task by the clock, where the machine is so busy that the thread gets little of it. */
  taskWallMs: 20_000,
  /** Heap of one thread. */
  threadMemoryMb: 256,
  /** Tasks that wait, of one organisation and in all. */
  waitingPerGroup: 500,
  waitingTasks: 2_000,
  /** Compiled schemas that a thread keeps. */
  compiledSchemas: 200,
  /** Verdicts on schemas and values that are remembered, so that what has failed its limit once costs nothing again. */
  rememberedVerdicts: 2_000,

  /**
   * Of the heap's limit as V8 tells it: 200 MiB are the young generation, in which nothing stays, and 64 MiB are the process itself without
   * callers.
   */
  ownHeapBytes: 264 * 1024 * 1024,
  /** Of the rest of the heap's limit, and of the memory of the control group: what may be buffered for callers. */
  heapShare: 0.5,
  groupShare: 0.4,
  /** Of that, what new work may fill. The rest is for what is under way. */
  newWorkShare: 0.7,
  memoryFullSeconds: 5,

  /** An error's text: a path or a list of allowed values may be as long as the schema. */
  messageCharacters: 500,
} as const;
