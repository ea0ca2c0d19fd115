// Default prices of the embedded engine's tokens, because an owner's own machine is not free either.
//
// Measured for the 98 MB default model on two cores: 384 prompt tokens and 140 output tokens a second, so 1.4 and 0.5 million
// an hour. A machine of 0.05 an hour then spends 0.04 per million prompt tokens and 0.10 per million output tokens; a prefix
// that is loaded instead of computed costs next to nothing. Work per token grows with the bytes of the weights.

const measuredBytes = 98_362_432;
const perMillion = { input: 0.04, cached: 0.002, output: 0.1 };

/** Nano-units of the organisation's currency per million tokens. */
export interface DefaultRates {
  inputNanoPerMillion: bigint;
  cachedNanoPerMillion: bigint;
  outputNanoPerMillion: bigint;
}

/** `bytes`: size of the weights. Rounded to whole micro-units, so that a price can be read. */
export function defaultRates(bytes: number): DefaultRates {
  const scale = bytes / measuredBytes;
  const nano = (units: number) => BigInt(Math.max(1, Math.round(units * scale * 1e6))) * 1000n;
  return {
    inputNanoPerMillion: nano(perMillion.input),
    cachedNanoPerMillion: nano(perMillion.cached),
    outputNanoPerMillion: nano(perMillion.output),
  };
}
