// Principals for tests of every room. Outside tests, `Identity` makes them.
import type { KeyPrincipal, RunPrincipal } from "./types.ts";

/** A key's holder: an owner of `org_test` and `prj_test`, where nothing else is said. */
export function testPrincipal(more: Partial<KeyPrincipal> = {}): KeyPrincipal {
  return {
    kind: "key",
    key: "key_test",
    organisation: "org_test",
    project: "prj_test",
    role: "owner",
    currency: "USD",
    ...more,
  };
}

/** A run that acts for the key of `testPrincipal`. */
export function testRunPrincipal(more: Partial<RunPrincipal> = {}): RunPrincipal {
  return { ...testPrincipal(), kind: "run", act: { run: "run_test", agent: "agt_test" }, ...more };
}
