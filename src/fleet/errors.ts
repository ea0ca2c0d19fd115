// Why a child process ended, found in what it printed last: a code, one sentence with the reason, and what to do next.

/** Causes that are recognised in what a dying child printed, most telling first. */
const causes: { pattern: RegExp; code: string; why(match: RegExpExecArray): string; hint: string }[] = [
  {
    pattern: /error while loading shared libraries: (\S+?):|(\S+\.so(?:\.\d+)*): cannot open shared object file/,
    code: "library_missing",
    why: (match) => `This system lacks the shared library ${match[1] ?? match[2]}.`,
    hint: "Install it with the system's package manager, then start again.",
  },
  {
    pattern: /No space left on device|ENOSPC/i,
    code: "disk_full",
    why: () => "The disk is full.",
    hint: "Free some space, or set LINESHAFT_HOME to a folder on another disk.",
  },
  {
    pattern: /address (?:is )?already in use|EADDRINUSE/i,
    code: "port_busy",
    why: () => "Another process took its port.",
    hint: "Start again: a free port is chosen at each start.",
  },
  {
    pattern: /out of memory|Cannot allocate memory|ENOMEM/i,
    code: "memory_short",
    why: () => "There is not enough memory.",
    hint: "Stop other programs, or choose a smaller model with LINESHAFT_MODEL.",
  },
];

export interface Ending {
  code: string;
  /** One sentence with the reason. */
  why: string;
  hint: string;
}

/** Turns how a child ended and the last of what it printed into one sentence and a next step. */
export function explainEnding(how: string, output: string): Ending {
  for (const cause of causes) {
    const match = cause.pattern.exec(output);
    if (match) return { code: cause.code, why: cause.why(match), hint: cause.hint };
  }
  const lastLine = output
    .split("\n")
    .map((line) => line.trim())
    .findLast((line) => line.length > 0);
  return {
    code: "child_ended",
    why: lastLine ? `It ${how}; its last line was: ${lastLine.slice(0, 300)}` : `It ${how} and printed nothing.`,
    hint: "Run `npx lineshaft doctor`, or start again with LINESHAFT_DEBUG=1 to see all that it prints.",
  };
}
