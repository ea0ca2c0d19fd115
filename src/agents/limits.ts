// Every bound of this room, so that nothing in it grows or waits without end.
export const limits = {
  /** Steps of a run and seconds of its life where the manifest does not say. */
  steps: 50,
  seconds: 3600,
  /** The most a manifest may ask for. */
  mostSteps: 1000,
  mostSeconds: 30 * 24 * 3600,
  verifierBytes: 256 * 1024,
  inputBytes: 1024 * 1024,
  /** What is kept of a failure's words, and of a tool's name as a model wrote it. */
  messageCharacters: 4_000,
  nameCharacters: 200,
  /** Depth and number of the values in what a tool answers, a model decides, or a manifest holds. */
  valueDepth: 64,
  values: 100_000,
  /** What a tool may answer; more is an error, never cut. */
  toolResultBytes: 256 * 1024,
  /** What is read of an answer before reading stops: the result as text and once more as structured content, escaped. */
  toolAnswerBytes: 2 * 1024 * 1024,
  /** What is read of a server's list of tools, over all pages; pages of it, and tools in it. */
  toolListBytes: 4 * 1024 * 1024,
  toolListPages: 32,
  toolsListed: 1_000,
  toolSeconds: 30,
  mostToolSeconds: 240,
  /** Tools of one agent. */
  tools: 64,
  /** Definitions of a server's tools are asked for again after this long, and before every effect. */
  definitionsKeptMs: 5_000,
  /** A turn ends after this many steps or this long, whichever comes first, and the next one goes on: no invocation gets old. */
  turnSteps: 40,
  turnMs: 120_000,
  /** What one step does; with `turnMs` before it and both waits for its places, still under ten minutes. */
  modelStepMs: 300_000,
  /** Restate asks a turn that writes nothing for so long to pause, and gives it up after so long: one step, with its waits, is shorter. */
  durableInactivityMs: 490_000,
  durableAbortMs: 540_000,
  /** Steps of runs under way at once, whatever engines say of their slots; and how many are reckoned for one that says nothing. */
  paceLeast: 8,
  paceMost: 48,
  paceUnknownSlots: 16,
  /** Tools and lookups that are called at once: they wait for others' machines, not for ours. */
  toolStepsMost: 256,
  /** Runs whose verdict is being judged at once: two for every thread, so that none idles while a verdict is stored. */
  verdictStepsMost: 4,
  /**
   * A turn waits so long for its step, and so long again where the step is a tool's or a verifier's; then it is put down and comes
   * back after a pause, to its place.
   */
  paceWaitMs: 90_000,
  paceElsewhereWaitMs: 60_000,
  paceComeBackMs: 1_000,
  /** Runs whose place is remembered while they are put down, and runs looked up by one statement. */
  paceRemembered: 100_000,
  paceLookUp: 5_000,
  /** A run that Restate was seen to hold is not asked for again before. */
  heldForMs: 5_000,
  /** Failures in a row of one step before the run fails, and the pauses between them. */
  retries: 20,
  retryFirstMs: 250,
  retryMostMs: 10_000,
  /** A wait that is longer gives up its KV's place on the device where room is wanted. */
  quickWaitMs: 5_000,
  /** How often the watchdog looks, and how long a run may lie still before Restate is asked for it. */
  watchdogMs: 1_000,
  /** Restate says so long that it has no partitions before its storage is replaced: a start takes a second or a few. */
  restateDamagedMs: 20_000,
  stillMs: 4_000,
  /** Runs looked at in one round of the watchdog. */
  watchdogRuns: 1_000,
  /** A stop in another process is seen within this time. */
  stopPollMs: 400,
  /** A verdict's reason. */
  reasonCharacters: 500,
  /** Verifiers: bytes of memory, ticks of about 10,000 operations each, CPU time in their thread, and a backstop on the clock. */
  verifierMemoryBytes: 16 * 1024 * 1024,
  verifierStackBytes: 512 * 1024,
  verifierTicks: 2_000,
  verifierCpuMs: 10_000,
  verifierMs: 60_000,
  /** Verdicts that are judged at once, and those that wait: of one organisation, and of all. */
  verifierThreads: 2,
  verdictsWaitingPerOrganisation: 2_000,
  verdictsWaiting: 10_000,
} as const;
