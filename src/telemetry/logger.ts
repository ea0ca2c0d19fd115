// The log: one JSON line an event, to stderr, for people who run Lineshaft. It says what happened and to which id, never
// what was said: no prompt, answer, header or key is ever given to it, and `redact` is the second lock on that door.
import { writeSync } from "node:fs";
import { pino } from "pino";
import type { DestinationStream, Logger } from "pino";

export type { Logger } from "pino";

/** Field names whose values never reach a log line, at the top or one level down. */
const secretFields = [
  "authorization",
  "cookie",
  "x-api-key",
  "api-key",
  "apiKey",
  "key",
  "secret",
  "token",
  "password",
  "messages",
  "prompt",
  "content",
  "body",
];

interface LoggerOptions {
  /** trace, debug, info, warn, error, fatal or silent; LINESHAFT_LOG, else warn. */
  level?: string;
  destination?: DestinationStream;
}

const levels = new Set(["trace", "debug", "info", "warn", "error", "fatal", "silent"]);

/** Makes the process's logger. An unknown level is read as `warn`: a typing error must not stop a start. */
export function createLogger(options: LoggerOptions = {}): Logger {
  const asked = options.level ?? process.env["LINESHAFT_LOG"] ?? "warn";
  return pino(
    {
      level: levels.has(asked) ? asked : "warn",
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: {
        paths: secretFields.flatMap((name) => [`["${name}"]`, `*["${name}"]`]),
        censor: "[redacted]",
      },
    },
    options.destination ?? lossy(2),
  );
}

/**
 * Writes lines to a file descriptor, and loses those that it does not take: a full disk, a reader that has gone. A log that cannot be
 * written must not end the process that writes it; the next line that can be written says how many were lost.
 */
function lossy(fd: number): DestinationStream {
  let lost = 0;
  return {
    write(line) {
      try {
        const note =
          lost > 0 ? `${JSON.stringify({ level: "warn", lost, msg: "lines of the log could not be written" })}\n` : "";
        writeSync(fd, note + line);
        lost = 0;
      } catch {
        lost++;
      }
    },
  };
}
