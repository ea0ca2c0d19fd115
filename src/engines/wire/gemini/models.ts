// What differs between Google's models. Source: Google's pages "Thinking" and "Thought signatures" of the Gemini API, as of November 2026.

/** The generation in a model's name: `gemini-3.8-flash` is of the third. 0 where the name says none. */
const generationOf = (model: string): number => Number(/(?:^|\/)gemini-(\d{1,3})/.exec(model)?.[1] ?? 0);

/** From the third generation on, a call of a function must come back with the signature of the thought that led to it. */
export const asksForSignatures = (model: string): boolean => generationOf(model) >= 3;

/** From the third generation on, a word says how much to think; before it, a number of tokens. */
export const thinksByLevel = (model: string): boolean => generationOf(model) >= 3;

/** What Google documents for calls that another model has made, or whose signature was lost. */
export const noSignature = "skip_thought_signature_validator";
