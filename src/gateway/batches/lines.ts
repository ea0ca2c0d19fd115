// The lines of a batch's input file (JSON Lines, developers.openai.com/api/docs/guides/batch): where one ends, and what one has to say.
// Pure. A batch begins only when each of its lines is right, so that a mistake is told at once and not found in an output of a day later.
import { JsonBoundError, JsonMeter } from "../../bounded/index.ts";
import { limits } from "../limits.ts";
import { isStorable } from "../../store/index.ts";

/** What is wrong with a batch, in OpenAI's shape. `line`: from 1; null where it is not of one line. */
export interface BatchProblem {
  code: string;
  line: number | null;
  message: string;
  param: string | null;
}

/** A line that can be served. `body`: JSON text of the request. */
export interface BatchLine {
  number: number;
  customId: string;
  body: string;
}

const newline = 0x0a;

/** Cuts bytes into lines. A line that is longer than it may be is answered as undefined, and its bytes are dropped. */
export class LineCutter {
  readonly #mostBytes: number;
  #rest: Buffer[] = [];
  #length = 0;
  #isTooLong = false;

  constructor(mostBytes: number = limits.batchLineBytes) {
    this.#mostBytes = mostBytes;
  }

  *push(bytes: Buffer): Generator<string | undefined, void> {
    for (let from = 0; from < bytes.length;) {
      const at = bytes.indexOf(newline, from);
      const end = at === -1 ? bytes.length : at;
      this.#add(bytes.subarray(from, end));
      from = end + 1;
      if (at !== -1) yield this.#line();
    }
  }

  /** The last line, where the file does not end with a line feed. */
  *end(): Generator<string | undefined, void> {
    if (this.#length > 0 || this.#isTooLong) yield this.#line();
  }

  #add(piece: Buffer): void {
    this.#length += piece.length;
    if (this.#length > this.#mostBytes) {
      this.#isTooLong = true;
      this.#rest = [];
      this.#length = 0;
    }
    if (!this.#isTooLong && piece.length > 0) this.#rest.push(piece);
  }

  #line(): string | undefined {
    const text = this.#isTooLong ? undefined : Buffer.concat(this.#rest).toString("utf8");
    this.#rest = [];
    this.#length = 0;
    this.#isTooLong = false;
    return text;
  }
}

/** Reads the lines of one file, in their order. */
export class LineReader {
  readonly #endpoint: string;
  readonly #seen = new Set<string>();
  readonly problems: BatchProblem[] = [];
  #place = 0;
  #count = 0;

  constructor(endpoint: string) {
    this.#endpoint = endpoint;
  }

  /** Lines that can be served. */
  get count(): number {
    return this.#count;
  }

  /** So much is wrong that the rest need not be read. */
  get isHopeless(): boolean {
    return this.problems.length >= limits.batchProblemsMost || this.#count > limits.batchLinesMost;
  }

  /** The line, where it can be served; else its problem is noted. A line of spaces is passed over. */
  read(text: string | undefined): BatchLine | undefined {
    this.#place++;
    if (text?.trim() === "") return undefined;
    const line = text === undefined ? tooLong() : this.#line(text);
    if ("code" in line) {
      this.problems.push({ ...line, line: this.#place });
      return undefined;
    }
    this.#seen.add(line.customId);
    this.#count++;
    return { ...line, number: this.#place };
  }

  /** What is wrong with the file as a whole; undefined where nothing is. */
  whole(): BatchProblem | undefined {
    if (this.#count > limits.batchLinesMost)
      return problem("too_many_tasks", null, `A batch has at most ${limits.batchLinesMost} requests.`);
    if (this.#count === 0 && this.problems.length === 0)
      return problem("empty_file", null, "The input file has no requests.");
    return undefined;
  }

  #line(text: string): Omit<BatchLine, "number"> | BatchProblem {
    const read = readLine(text);
    if (!read) return problem("invalid_json_line", null, "This line is not a JSON object, or is nested too deeply.");
    const { custom_id: customId, method, url, body } = read.object;
    if (typeof customId !== "string" || customId === "" || customId.length > limits.customIdCharacters)
      return problem(
        "missing_required_parameter",
        "custom_id",
        `\`custom_id\` must be a text of 1 to ${limits.customIdCharacters} characters.`,
      );
    if (!isStorable(customId))
      return problem("invalid_value", "custom_id", "`custom_id` has characters that no text may have.");
    if (this.#seen.has(customId))
      return problem(
        "duplicate_custom_id",
        "custom_id",
        `\`custom_id\` ${JSON.stringify(customId)} stands in an earlier line.`,
      );
    if (method !== "POST") return problem("invalid_method", "method", "`method` must be POST.");
    if (url !== this.#endpoint)
      return problem("invalid_url", "url", `\`url\` must be the batch's endpoint, ${this.#endpoint}.`);
    if (body === null || typeof body !== "object" || Array.isArray(body))
      return problem("missing_required_parameter", "body", "`body` must be a JSON object: the request.");
    return { customId, body: read.written("body") };
  }
}

/** A line as an object, and its members as they are written. Undefined where it is no JSON object within the bounds. */
export function readLine(
  text: string,
): { object: Record<string, unknown>; written: (name: string) => string } | undefined {
  const bytes = Buffer.from(text);
  const { bodyDepth: depth, bodyValues: values, bodyNumbers: numbers } = limits;
  const meter = new JsonMeter({ depth, values, numbers }, true);
  try {
    meter.push(bytes);
    const json: unknown = JSON.parse(text);
    if (json === null || typeof json !== "object" || Array.isArray(json)) return undefined;
    const object = json as Record<string, unknown>;
    const written = (name: string) => {
      // Of a name that is given twice the last value counts.
      const { start, end } = meter.members?.get(name) ?? {};
      return start === undefined ? JSON.stringify(object[name]) : bytes.toString("utf8", start, end).trim();
    };
    return { object, written };
  } catch (error) {
    if (error instanceof JsonBoundError || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

const problem = (code: string, param: string | null, message: string): BatchProblem => ({
  code,
  line: null,
  message,
  param,
});

const tooLong = (): BatchProblem =>
  problem("line_too_long", null, `A line has at most ${limits.batchLineBytes / 1024 / 1024} MiB.`);
