// Tells that a process gives no sign of life. The silence is counted in ticks of at most twice their length, so that a machine that slept
// as a whole, or a parent that was itself frozen, does not count the time that it missed against its child.

export interface SilenceWatch {
  /** A sign of life: the silence begins anew. */
  heard(): void;
  stop(): void;
}

/** Calls `onSilent` once, when `heard` was not called for `silentMs` milliseconds. */
export function watchSilence(silentMs: number, onSilent: () => void): SilenceWatch {
  const tickMs = Math.max(10, silentMs / 20);
  let silence = 0;
  let last = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    silence += Math.min(now - last, 2 * tickMs);
    last = now;
    if (silence < silentMs) return;
    clearInterval(timer);
    onSilent();
  }, tickMs).unref();
  return {
    heard: () => void (silence = 0),
    stop: () => clearInterval(timer),
  };
}
