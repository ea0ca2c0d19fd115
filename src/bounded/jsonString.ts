// Where a JSON string (RFC 8259) ends in bytes, and whether all of it is valid. A search in JavaScript stops at every escaped quote, and to
// judge escapes and control characters it would look at each byte: 400 KB take half a millisecond. WebAssembly has instructions for
// 16 bytes at once, which take a tenth of that. The source is jsonString.wat. What is compiled from it stands here, because nothing is built
// before the process starts (jsonString.test.ts compiles it and compares).
/** The module. */
export const compiled =
  "AGFzbQEAAAABBwFgAn9/AX8DAgEABQMBAAIHEAIGbWVtb3J5AgADZW5kAAAKlgIBkwICAXsDfwNAIAD9AAQAIQIgAkEi/Q/9IyACQdwA/Q/9I/1QIAJBIP0P/Sb9UP1kIQMgA0UEQCAAQRBqIQAMAQsgACADaGohACAALQAAIQQgBEEiRgRAIAAgBXIPCyAEQdwARwRAIAVBgIDAAHIhBSAAQQFqIQAMAQsgAEEBaiABTwRAIAEgBXJBgICAAXIPC0GAgAYgAC0AAWotAAAhBCAEQQJxBEBBgIAGIAAtAAJqLQAAQYCABiAALQADai0AAHFBgIAGIAAtAARqLQAAQYCABiAALQAFai0AAHFxQQRxQQJ2IQQgAEEGaiABSwRAQQAhBAsLIARBAXFFBEAgBUGAgMAAciEFCyAAQQJqIQAMAAsACw==";

const exported = new WebAssembly.Instance(new WebAssembly.Module(Buffer.from(compiled, "base64"))).exports as {
  memory: WebAssembly.Memory;
  end: (at: number, limit: number) => number;
};
const memory = new Uint8Array(exported.memory.buffer);

/** Bytes that are looked at in one go. */
export const windowBytes = 64 * 1024;

/** The bytes that are looked at. They are valid until the next ones are put in, so all work on them is done in one turn. */
export const window = memory.subarray(0, windowBytes);

const text = Buffer.from(memory.buffer, 0, windowBytes);

/** UTF-8 of what is looked at, as text. */
export const textAt = (from: number, to: number): string => text.toString("utf8", from, to);

/** At most `windowBytes` become what is looked at. */
export function look(bytes: Uint8Array): void {
  memory.set(bytes, 0);
  // It ends every search.
  memory[bytes.length] = 0x22;
}

/**
 * Where the string ends whose content begins at `at`: the place of its closing quote, or `limit` (the number of bytes that are looked at)
 * where it goes on behind them. The place is in `placeBits` of what is answered; the other bits are `wrong` and `escaped`.
 */
export const { end: stringEnd } = exported;

export const placeBits = 0xf_ffff;
/** It has a control character or an invalid escape, or digits of an escape lie behind the end of what is looked at. */
export const wrong = 0x10_0000;
/** What is looked at ends with a backslash that escapes the byte behind it. */
export const escaped = 0x20_0000;

/** Where jsonString.wat looks bytes up. */
const table = memory.subarray(0x1_8000, 0x1_8100);
const afterBackslash = 1;
const beginsDigits = 2;
const isDigit = 4;
for (const byte of Buffer.from('"\\/bfnrt')) table[byte]! |= afterBackslash;
for (const byte of Buffer.from("u")) table[byte]! |= beginsDigits;
for (const byte of Buffer.from("0123456789abcdefABCDEF")) table[byte]! |= isDigit;

/** Whether the byte may follow a backslash and is all that follows it. */
export const mayBeEscaped = (byte: number): boolean => (table[byte]! & afterBackslash) !== 0;
