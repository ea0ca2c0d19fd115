// Text that Postgres keeps: well-formed Unicode without NUL. A `text` column refuses NUL, `jsonb` refuses NUL and halves of
// surrogate pairs, and a driver replaces such halves silently, so that what is read is not what was written. Input from clients
// that breaks this is refused; what engines and tools say is made storable.

/** What a person is told about text that cannot be stored. */
export const unstorable = "holds a NUL character or half of a surrogate pair, which cannot be stored";

/** True for well-formed Unicode without NUL. */
export function isStorable(text: string): boolean {
  return text.isWellFormed() && !text.includes("\0");
}

/** The text as it can be stored: cut to `most` UTF-16 units, with U+FFFD for what Postgres does not keep. */
export function storable(text: string, most: number): string {
  const cut = text.length > most ? text.slice(0, most) : text;
  return isStorable(cut) ? cut : cut.toWellFormed().replaceAll("\0", "\ufffd");
}
