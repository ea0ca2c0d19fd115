// Bounds of this room.
export const limits = {
  /** Depth and number of the values in a JSON body on /v1, without numbers in lists: 10,000 messages of agents fit. */
  bodyDepth: 128,
  bodyValues: 60_000,
  /** Token ids in the prompt of a text completion. Numbers in other lists count as values. */
  bodyNumbers: 2_000_000,
  /** Items of a list, and members of `logit_bias`, in fields that are extensions of engines. */
  fieldItems: 4096,
  /** Members of `metadata`, of which OpenAI takes 16, and of `chat_template_kwargs`. */
  metadataMembers: 64,
  templateArguments: 64,
  /** A model's name as callers write it. */
  modelNameCharacters: 200,
  /** Headers of a client that go to the engine because they belong to its API. */
  apiHeadersMost: 32,
  apiHeaderCharacters: 2_048,
  /** What is kept of an engine's own words: codes, finish reasons and names of fields; messages and hints. */
  engineCodeCharacters: 100,
  engineMessageCharacters: 2_000,
  /** Signs of life of an endpoint lengthen the wait for a first token for so long at the most. */
  firstTokenLifeMs: 300_000,
  /** Interval at which a late call is checked for another endpoint that may take it. */
  firstTokenLookMs: 1_000,
  /** Output tokens a second of the slowest machine that serves models at all. */
  slowestTokensPerSecond: 2,
  /** Attempts of a call at all its models, at most, and models that may follow its own. */
  attemptsInAllMost: 6,
  fallbacksMost: 8,
  /** Calls of a route among which a share is hedged; the wait for a second attempt's money and place; and the longest wait before one. */
  hedgeWindowCalls: 1_000,
  hedgePlaceMostMs: 50,
  hedgeAfterMostMs: 600_000,
  /** Attempts that continue one answer, and characters of an answer that can be continued. */
  continuationsMost: 2,
  continuedCharactersMost: 1024 * 1024,
  /** Tokens that a chat template writes around a message, at most. */
  messageTokens: 32,
  /** Routes of one organisation; the longest wait for an engine's limit that a route may allow. */
  routesMost: 1_000,
  retryWaitMostMs: 60_000,
  /** An endpoint that asks for a longer pause is tried again after this time; one whose account is used up stays away for so long. */
  busyMostMs: 60_000,
  /** Projects of a route that share answers; how long an answer may be kept; its text; and how it is given to a stream. */
  cacheProjectsMost: 1_000,
  keepSecondsMost: 30 * 24 * 60 * 60,
  keptAnswerCharacters: 1024 * 1024,
  replayedCharacters: 4_096,
  /** Kept answers that a process remembers: how much, how long, and how often those whose time is over are removed. */
  rememberedBytes: 16 * 1024 * 1024,
  rememberedMs: 60_000,
  keptSweepMs: 60 * 60_000,
  /**
   * Bounds of an answer that several calls read: how much is kept so that further calls can join, how far the engine may be ahead of the
   * fastest reader, and how far a slow reader may fall behind.
   */
  sharedBytes: 256 * 1024,
  sharedAheadBytes: 64 * 1024,
  sharedBehindBytes: 4 * 1024 * 1024,
  /** Waits before an embedded worker that broke off is asked whether it is back; the last is repeated. */
  recheckMs: [250, 500, 1_000, 2_000],
  /** Limit of output, in tokens, of a call that names none. It is sent and priced. */
  defaultOutputTokens: 4096,
  /** The same for text completions, as OpenAI has it. */
  defaultCompletionTokens: 16,
  /** Most output tokens of one call, over all its answers: no model's context is longer. Answers to one prompt, and prompts of one call. */
  outputTokensMost: 10_000_000,
  answersPerPrompt: 128,
  promptsPerCall: 2_048,
  /** Output tokens of the largest window by which a hold is extended while its answer streams. */
  windowTokensMost: 4096,
  /** A hold that has waited for so long has its prompt counted, where only a bound of it was held. */
  recountAfterMs: 5,
  /**
   * Room kept for the answer when a prompt nearly fills a context whose tokens could only be guessed; and the least output of an answer
   * that a budget's end leaves room for, unless the call asks for less.
   */
  leastOutputTokens: 16,
  /** Tokens that a chat template puts around a message, at most. */
  templateTokensPerMessage: 32,
  /** Tokens that a chat template puts around a prompt and its tools, at most. */
  templateTokens: 512,
  /** Prompt tokens of an image, sound or file, until the engine reports them. */
  mediaTokens: 8192,
  /** Media of one call: how many, how large each and together, in bytes as they are; base64 makes a third more of them. */
  mediaPartsMost: 64,
  mediaBytesEach: 10 * 1024 * 1024,
  mediaBytesPerCall: 20 * 1024 * 1024,
  mediaAddressCharacters: 8_192,
  /** Calls of one key that fetch media at once. */
  mediaFetchesPerKey: 4,
  /** Answers of one call, and tool calls of one answer, that are checked. An engine that sends more has sent an invalid answer. */
  answerChoices: 1024,
  answerToolCalls: 1024,
  /** Of the header that names what was left out of a call. */
  leftOutCharacters: 1_000,
  /** Tools of one Responses call, and ids of stored responses and conversations. */
  toolsMost: 1024,
  stateIdCharacters: 200,
  /** How long a response is kept, and how often those that are over are removed; an owner may say otherwise for a project. */
  responseKeptDays: 30,
  responseSweepMs: 3_600_000,
  responsesSwept: 1_000,
  /** What a project keeps in responses and conversations, at most; how long a process remembers its sum, and of how many projects. */
  storedBytesPerProject: 10 * 1024 * 1024 * 1024,
  storageKnownMs: 10_000,
  storagesKnown: 10_000,
  /** Responses that one goes on from, one after the other, and bytes of what they hold; of one item the same. */
  chainResponses: 1_000,
  chainBytes: 32 * 1024 * 1024,
  /** Stored items that one request may name. */
  itemReferences: 1_000,
  /**
   * Background responses: how many of a key run in one process; how often events are written and signs of life given; how long a process
   * may be silent before its responses are failed, and how often that is looked at; how often an end is tried to be written.
   */
  backgroundPerKey: 64,
  backgroundTickMs: 1_000,
  backgroundSilentMs: 30_000,
  backgroundLostMs: 15_000,
  backgroundEndTries: 10,
  /** Readers of their events: how often they look, when a silent one is sent a comment, and rows of events that are read at once. */
  backgroundPollMs: 250,
  backgroundQuietMs: 10_000,
  backgroundEventRows: 16,
  /** Work on stored items between two turns of the event loop. */
  openedTurnMs: 5,
  /** Items of a conversation, and how long one response may write to it. */
  conversationItems: 10_000,
  conversationLockMs: 600_000,
  /** Conversations that one statement erases, with all of their items. */
  conversationsErased: 20,
  /** Items that one request may add to a conversation. */
  itemsAdded: 20,
  /** Items of one page of a list. */
  listedItems: 20,
  listedItemsMost: 100,
  messageBatchesListed: 1_000,
  /** Files of a project: how many, their bytes together and each, and the pieces that they are stored in. */
  filesMost: 1_000,
  projectFileBytes: 4 * 1024 ** 3,
  fileBytes: 200 * 1024 * 1024,
  fileChunkBytes: 1024 * 1024,
  fileNameCharacters: 255,
  /** How long a file is kept, at least and at most and where nothing is said; and how long its upload may take. */
  fileKeptSecondsLeast: 3_600,
  fileKeptSeconds: 30 * 24 * 3_600,
  fileWrittenMs: 3_600_000,
  /** Files that one statement erases, with all of their pieces. */
  filesErased: 10,
  fileSweepMs: 3_600_000,
  /** Requests of one batch, the bytes of each, and characters of the id that its owner gives it. */
  batchLinesMost: 50_000,
  batchLineBytes: 8 * 1024 * 1024,
  customIdCharacters: 512,
  /** Problems of an input file that are named. */
  batchProblemsMost: 50,
  /** Batches of a project that have not ended, and time in which a batch is served. A batch that has ended is kept as long as a file. */
  openBatchesMost: 100,
  batchWindowMs: 24 * 3_600_000,
  /** Lines that one process serves at once, those that it takes in one statement, and open batches that it looks at. */
  linesAtOnce: 32,
  linesTaken: 8,
  batchesLookedAt: 64,
  /**
   * How often a process looks for batches, and says that it lives; a line of a process that said nothing for so long is taken by another.
   */
  batchLookMs: 1_000,
  lineBeatMs: 3_000,
  lineDeadMs: 15_000,
  /** Tries of a line whose engine fails or whose process ends; the first wait after one, and the longest. */
  lineTriesMost: 5,
  lineWaitMs: 1_000,
  lineWaitMostMs: 300_000,
  /** Results that are read at once while output is written, and the time that this may take. */
  resultsRead: 100,
  batchWrittenMs: 15 * 60_000,
  /** Interval of the probes of an engine that answers, and the longest interval for one that does not. */
  probeEveryMs: 10_000,
  probeMostMs: 60_000,
  probesAtOnce: 8,
  probeTickMs: 1_000,
  /** How often alarms about models without a price are judged again. */
  priceLookMs: 60_000,
  /** How long streams may go on after the server was told to stop. */
  graceMs: 3_000,
} as const;
