// How much an answer that is put together from a stream has grown, for its bounds: its length as JSON, and the memory that it takes. What
// every event repeats (ids, names, usage) is not kept, so the length of the events says little: an event of one token has a hundred times
// its text. What is kept are the values of choices; log probabilities are most of it where they are asked for.

/** Memory of a value beside its text: a member or an item with its object, list, number or text. */
const bytesPerValue = 16;

export class Weight {
  /** About the length of the JSON text. */
  characters = 0;
  #values = 0;

  /** Bytes of memory, as an estimate that is rather too high: texts take one or two bytes a character. */
  get memoryBytes(): number {
    return 2 * this.characters + bytesPerValue * this.#values;
  }

  /** Adds what a member of a choice says: nothing for null. */
  add(value: unknown): void {
    if (typeof value === "string") this.characters += value.length;
    else if (typeof value === "object" && value !== null) this.#addMembers(value);
  }

  #addMembers(value: object): void {
    if (Array.isArray(value)) {
      for (const one of value) this.#addMember("", one);
      return;
    }
    for (const [name, one] of Object.entries(value)) {
      // A piece of text is appended to the text before it, so neither its name nor a value is kept for it.
      if (typeof one === "string" && appendedNames.has(name)) this.characters += one.length;
      else if (one !== null && one !== undefined) this.#addMember(name, one);
    }
  }

  #addMember(name: string, value: unknown): void {
    this.#values++;
    this.characters += name.length + separators;
    if (typeof value === "number") this.characters += numberCharacters;
    else this.add(value);
  }
}

/** Texts that come in pieces. */
const appendedNames = new Set(["content", "refusal", "reasoning", "reasoning_content", "arguments"]);
/** Characters between members, and of a number, on average. */
const separators = 2;
const numberCharacters = 4;
