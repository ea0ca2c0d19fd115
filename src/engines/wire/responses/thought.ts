// Hidden thought of OpenAI's models. It is given out encrypted to a caller that asks for it, and continues the thought in the next turn where
// the API keeps nothing. Models that do not think refuse the question with a 400, "Encrypted content is not supported with this model".

/** The member of `include` that asks for it. */
export const encryptedThought = "reasoning.encrypted_content";

/** OpenAI's models that think: the o series, Codex's own, and GPT from 5 on. */
const thinkers = /^(o\d|codex|computer-use|gpt-([5-9]|\d\d))/;

/** Whether the model can be asked for its encrypted thought. `asked`: the client has asked it to think. */
export const hidesThought = (model: string, asked: boolean): boolean =>
  asked || thinkers.test(model.slice(model.lastIndexOf("/") + 1));
