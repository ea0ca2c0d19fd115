// A call of which one attempt can be stopped alone.
import type { CallState } from "./state.ts";

/** The call with a further signal that stops what is done with it. What is written to it is written to the call. */
export function stoppable(call: CallState, stop: AbortSignal): CallState {
  const signal = AbortSignal.any([call.signal, stop]);
  return Object.create(call, {
    signal: { value: signal },
    isUnsettled: {
      get: () => call.isUnsettled,
      set(is: boolean) {
        call.isUnsettled = is;
      },
    },
  }) as CallState;
}
