// The guard of the lane `pure` (test/lanes.ts): a test that starts a child process, or opens a connection to anything but a server of
// its own process, fails with a sentence that says so, also where the code under test swallows the error. Files of this lane share
// worker processes (`isolate: false`), so the guard is installed once in each and its facts hang on the process.
import childProcess from "node:child_process";
import { syncBuiltinESMExports } from "node:module";
import net from "node:net";
import { afterAll, afterEach } from "vitest";

interface Guard {
  /** Ports and paths that a server of this process has listened on. */
  served: Set<string>;
  violations: Error[];
}

const key = Symbol.for("lineshaft.test.pure");
const held = globalThis as unknown as Record<symbol, Guard | undefined>;
const guard = (held[key] ??= install());

/** What was refused since the last look; a test of the guard takes it so that it does not fail itself. */
export function takeViolations(): Error[] {
  return guard.violations.splice(0);
}

function failIfImpure(): void {
  const [first] = takeViolations();
  if (first) throw first;
}
afterEach(failIfImpure);
afterAll(failIfImpure);

function install(): Guard {
  const made: Guard = { served: new Set(), violations: [] };
  const refuse = (what: string, instead: string): never => {
    const violation = new Error(
      `A test of the lane "pure" ${what}. ${instead} docs/testing.md says what a lane allows, and test/lanes.ts what puts a test into it.`,
    );
    made.violations.push(violation);
    throw violation;
  };
  refuseChildren((command) =>
    refuse(
      `started a child process (${command})`,
      'Take the process out of the test, or import test/setup/processes.ts in it, which puts it into the lane "room".',
    ),
  );
  refuseStrangers(made.served, (address) =>
    refuse(
      `opened a connection to ${address}, where no server of its own process listens`,
      "Start a server in the test, or use the helper that starts what it needs (src/store/testing.ts, test/setup/instance.ts).",
    ),
  );
  // A pure test must not find a model or a database that the environment happens to name.
  for (const name of ["LINESHAFT_MODEL", "LINESHAFT_TEST_DATABASE_URL", "DATABASE_URL"]) delete process.env[name];
  return made;
}

/** All ways to start a child: the asynchronous ones meet in `ChildProcess.prototype.spawn`. */
function refuseChildren(refuse: (command: string) => never): void {
  const ofClass = childProcess.ChildProcess.prototype as unknown as { spawn(options: { file: string }): never };
  ofClass.spawn = ({ file }) => refuse(file);
  const functions = childProcess as unknown as Record<string, (command: string) => never>;
  for (const name of ["spawnSync", "execSync", "execFileSync"]) functions[name] = refuse;
  syncBuiltinESMExports();
}

function refuseStrangers(served: Set<string>, refuse: (address: string) => never): void {
  const { listen } = net.Server.prototype;
  net.Server.prototype.listen = function (this: net.Server, ...given: unknown[]) {
    this.prependOnceListener("listening", () => {
      const address = this.address();
      served.add(typeof address === "string" ? address : String(address?.port));
    });
    return Reflect.apply(listen, this, given) as net.Server;
  } as typeof listen;
  const { connect } = net.Socket.prototype;
  net.Socket.prototype.connect = function (this: net.Socket, ...given: unknown[]) {
    const { shown, name } = target(given);
    if (!served.has(name)) refuse(shown);
    return Reflect.apply(connect, this, given) as net.Socket;
  } as typeof connect;
}

/** Where `connect` is asked to go: (options), (port, host) or (path), or those as one array, as node passes them on inside. */
function target(given: unknown[]): { shown: string; name: string } {
  const [first, second] = (Array.isArray(given[0]) ? given[0] : given) as unknown[];
  const options =
    typeof first === "object"
      ? (first as { path?: string; port?: number | string; host?: string })
      : typeof first === "string" && Number.isNaN(Number(first))
        ? { path: first }
        : { port: first as number, host: typeof second === "string" ? second : undefined };
  if (options.path) return { shown: options.path, name: options.path };
  return { shown: `${options.host ?? "localhost"}:${options.port}`, name: String(options.port) };
}
