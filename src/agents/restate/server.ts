// The embedded Restate: how to start the server from npm as a child, small and on unix sockets only (it has no authentication;
// the sockets lie in a 0700 folder). It signs what it sends with a key of its own, so that no other client can invoke our endpoint.
//
// Measured on two cores: ready in 1 s, 146 MB resident at rest with these settings; its defaults would take gigabytes.
import { createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { arch, platform } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { LineshaftError } from "../../errors/index.ts";
import { RestateClient } from "./client.ts";
import { identityKeyOf } from "./identity.ts";

/** A child for the supervisor (fleet's ChildSpec), and how to reach it. */
export interface RestateCommand {
  name: "restate";
  command: string;
  args: string[];
  env: Record<string, string>;
  cwd: string;
  ready(child: { pid: number }, signal: AbortSignal): Promise<void>;
  readyTimeoutMs: number;
  stopSignal: NodeJS.Signals;
  stopTimeoutMs: number;
  ingressSocket: string;
  adminSocket: string;
  /** Public half of the key that it signs its requests with. */
  identityKey: string;
}

/** Its sockets lie in a folder of this name inside its data. */
const nodeName = "lineshaft";

/** Longest path of a unix socket on Linux and macOS (108 and 104 bytes, one of them a zero). */
const longestSocketPath = 103;

/**
 * How to start the server with its data in `home`/restate. That folder may be deleted: it is made anew, and runs go on from
 * Postgres; what must outlive it (signing key, settings) lies in `home`/run. Throws LineshaftError `restate_setup_failed`.
 */
export function restateCommand(options: { home: string }): RestateCommand {
  const data = join(options.home, "restate");
  const folder = join(options.home, "run");
  const sockets = join(data, nodeName);
  const longest = join(sockets, "ingress.sock");
  if (Buffer.byteLength(longest) > longestSocketPath)
    throw new LineshaftError({
      code: "restate_setup_failed",
      message: `The path ${longest} is too long for a socket (${Buffer.byteLength(longest)} of ${longestSocketPath} bytes).`,
      hint: "Set LINESHAFT_HOME to a folder with a shorter path.",
    });
  for (const private_ of [data, folder]) {
    mkdirSync(private_, { recursive: true, mode: 0o700 });
    chmodSync(private_, 0o700);
  }
  const identityPath = join(folder, "restate-identity.pem");
  const configuration = join(folder, "restate.toml");
  const identityKey = prepareIdentity(identityPath);
  writeFileSync(configuration, settings(data, identityPath), { mode: 0o600 });
  const ingressSocket = join(sockets, "ingress.sock");
  const adminSocket = join(sockets, "admin.sock");
  return {
    name: "restate",
    // The server makes its folders itself, also when they were deleted under it: by the umask, private ones.
    command: "/bin/sh",
    args: ["-c", 'umask 077; exec "$0" "$@"', serverBinary(), "--no-logo", "--config-file", configuration],
    env: { PATH: process.env["PATH"] ?? "", RUST_BACKTRACE: "0" },
    cwd: options.home,
    ready: (_child, signal) =>
      untilReady({ ingress: { socket: ingressSocket }, admin: { socket: adminSocket } }, signal),
    readyTimeoutMs: 60_000,
    stopSignal: "SIGTERM",
    stopTimeoutMs: 4_000,
    ingressSocket,
    adminSocket,
    identityKey,
  };
}

function serverBinary(): string {
  const name = `@restatedev/restate-server-${platform()}-${arch()}`;
  try {
    return createRequire(import.meta.url).resolve(`${name}/bin/restate-server`);
  } catch {
    throw new LineshaftError({
      code: "restate_setup_failed",
      message: `No Restate server for this platform is installed (${name}).`,
      hint: "Run 'npm ci' again without --omit=optional, or set RESTATE_INGRESS_URL and RESTATE_ADMIN_URL to a Restate of your own.",
    });
  }
}

/** The signing key, made once; answers its public half as Restate's SDK takes it. */
function prepareIdentity(path: string): string {
  if (!existsSync(path)) {
    const { privateKey } = generateKeyPairSync("ed25519");
    writeFileSync(`${path}.new`, privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }
  return identityKeyOf(createPublicKey(createPrivateKey(readFileSync(path))));
}

/** TOML strings are JSON strings for every path that can occur. */
function settings(folder: string, identityPath: string): string {
  const text = JSON.stringify;
  return `# Written by Lineshaft at every start.
cluster-name = "lineshaft"
node-name = "${nodeName}"
base-dir = ${text(folder)}
listen-mode = "unix"
default-num-partitions = 4
disable-telemetry = true
rocksdb-total-memory-size = "128 MiB"
shutdown-timeout = "3s"
log-filter = "error,octocrab=off"
log-disable-ansi-codes = true
default-journal-retention = "10m"
default-idempotency-retention = "10m"

[admin]
disable-web-ui = true
[admin.query-engine]
memory-size = "64 MiB"
[bifrost]
record-cache-memory-size = "16 MiB"
[worker]
cleanup-interval = "5m"
data-service-memory-limit = "64 MiB"
[worker.invoker]
memory-limit = "128 MiB"
inactivity-timeout = "5m"
abort-timeout = "9m"
request-identity-private-key-pem-file = ${text(identityPath)}
`;
}

async function untilReady(at: ConstructorParameters<typeof RestateClient>[0], signal: AbortSignal): Promise<void> {
  const client = new RestateClient(at);
  try {
    for (;;) {
      if (await client.healthy()) return;
      await sleep(50, undefined, { signal });
    }
  } finally {
    await client.close();
  }
}
