// A vector as numbers, or in base64 as OpenAI's clients ask for it: 32-bit floats, little-endian.

/** Whether the vector is in the encoding already, or is neither numbers nor text and stays as the engine said it. */
export const isEncoded = (vector: unknown, encoding: "float" | "base64"): boolean =>
  encoding === "base64" ? !Array.isArray(vector) : typeof vector !== "string";

/** The vector in the encoding; what is neither numbers nor text stays as the engine said it. */
export function encoded(vector: unknown, encoding: "float" | "base64"): unknown {
  if (isEncoded(vector, encoding)) return vector;
  if (Array.isArray(vector)) {
    const bytes = Buffer.alloc(4 * vector.length);
    for (const [index, value] of (vector as number[]).entries()) bytes.writeFloatLE(value, 4 * index);
    return bytes.toString("base64");
  }
  const bytes = Buffer.from(vector as string, "base64");
  return Array.from({ length: Math.floor(bytes.length / 4) }, (_, index) => bytes.readFloatLE(4 * index));
}
