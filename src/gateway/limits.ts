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
  /** What is kept of an engine's own words: codes, finish reasons and names of fields; messages and hints. */
  engineCodeCharacters: 100,
  engineMessageCharacters: 2_000,
  /** Tries of one call, over all endpoints that serve its model. */
  attemptsMost: 3,
  /** Signs of life of an endpoint lengthen the wait for a first token for so long at the most. */
  firstTokenLifeMs: 300_000,
  /** How often it is looked whether a late call can go elsewhere by now. */
  firstTokenLookMs: 1_000,
  /** Output tokens a second of the slowest machine that serves models at all. */
  slowestTokensPerSecond: 2,
  /** Waits before an embedded worker that broke off is asked whether it is back; the last is repeated. */
  recheckMs: [250, 500, 1_000, 2_000],
  /** How often the scheduler is told that time has passed. */
  tickMs: 100,
  /** A program whose KV does not fit waits at most so long for room (working-set admission). */
  programPauseMs: 120_000,
  /** Uncached tokens that an endpoint which only decodes computes itself: less than a hand-over costs. */
  decodeLocalTokens: 128,
  /** Output tokens when a call names no limit: its cap, and what it is priced at before it runs. */
  defaultOutputTokens: 4096,
  /** The same for text completions, as OpenAI has it. */
  defaultCompletionTokens: 16,
  /** Most output tokens of one call, over all its answers: no model's context is longer. Answers to one prompt, and prompts of one call. */
  outputTokensMost: 10_000_000,
  answersPerPrompt: 128,
  promptsPerCall: 2_048,
  /** Tries of a settlement before its caller is answered, and the pauses between those after it. */
  settleTries: 3,
  settleAgainMs: 1_000,
  settleAgainMostMs: 60_000,
  /** Room kept for the answer when a prompt nearly fills a context whose tokens could only be guessed. */
  leastOutputTokens: 16,
  /** Tokens that a chat template puts around a message, at most. */
  templateTokensPerMessage: 32,
  /** Tokens that a chat template puts around a prompt and its tools, at most. */
  templateTokens: 512,
  /** What an image, sound or file in a message is taken for before the engine says. */
  mediaTokens: 8192,
  /** Media of one call: how many, how large each and together, in bytes as they are; base64 makes a third more of them. */
  mediaPartsMost: 64,
  mediaBytesEach: 10 * 1024 * 1024,
  mediaBytesPerCall: 20 * 1024 * 1024,
  mediaAddressCharacters: 8_192,
  /** Calls of one key that fetch media at once. */
  mediaFetchesPerKey: 4,
  /** Calls whose records wait for the database; further ones are dropped (and counted in the log): the ledger has the money. */
  recordsWaiting: 20_000,
  recordsPerStatement: 500,
  /** Choices of one answer, and tool calls of one choice, that are checked: an engine that sends more is not believed. */
  answerChoices: 1024,
  answerToolCalls: 1024,
  /** Engines that were added are asked whether they are there: this often while they are, up to that seldom while they are not. */
  probeEveryMs: 10_000,
  probeMostMs: 60_000,
  probesAtOnce: 8,
  probeTickMs: 1_000,
  /** How long streams may go on after the server was told to stop. */
  graceMs: 3_000,
} as const;
