// Ports: free ones for children, and which process holds a busy one.
import { readFileSync, readdirSync, readlinkSync } from "node:fs";
import { createServer, isIPv4 } from "node:net";
import { LineshaftError } from "../errors/index.ts";
import { programName } from "./processes.ts";

/**
 * A port of loopback that is free now, other than `except`, which is kept for a server that listens later. Another process may take it
 * before the child does; the child is then started again.
 */
export async function freePort(except?: number): Promise<number> {
  for (;;) {
    const port = await listenOnce(0, "127.0.0.1");
    if (port !== except) return port;
  }
}

/** Throws a LineshaftError that names the process which holds the port, if one does. */
export async function assertPortFree(port: number, host: string): Promise<void> {
  try {
    await listenOnce(port, host);
  } catch (error) {
    throw portError(error, port);
  }
}

/** What `listen` failed with, as a sentence; anything that is not about the port is passed on as it is. */
export function portError(error: unknown, port: number): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === "EACCES")
    return new LineshaftError({
      code: "port_forbidden",
      message: `Port ${port} may not be used.`,
      why: "Ports below 1024 are for root.",
      hint: "Choose another with LINESHAFT_PORT, for example LINESHAFT_PORT=4071.",
      cause: error,
    });
  if (code !== "EADDRINUSE") return error;
  const holder = portHolder(port);
  return new LineshaftError({
    code: "port_busy",
    message: `Port ${port} is in use.`,
    why: holder ? `${holder.name} (pid ${holder.pid}) listens there.` : "Another program listens there.",
    hint: `Stop it, or choose another port: LINESHAFT_PORT=${port + 1} npm start`,
    cause: error,
  });
}

function listenOnce(port: number, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(port, host, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address ? address.port : port));
    });
  });
}

/** The process that listens on a port, where /proc shows it (Linux, processes of the same user or as root). */
export function portHolder(port: number): { pid: number; name: string } | undefined {
  const sockets = new Set([...listeningInodes("/proc/net/tcp", port), ...listeningInodes("/proc/net/tcp6", port)]);
  if (sockets.size === 0) return undefined;
  for (const pid of readdirSync("/proc").map(Number).filter(Number.isInteger))
    if (holdsOne(pid, sockets)) return { pid, name: programName(pid) };
  return undefined;
}

function listeningInodes(table: string, port: number): string[] {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const listening = "0A";
  try {
    return readFileSync(table, "utf8")
      .split("\n")
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter((columns) => columns[1]?.endsWith(suffix) && columns[3] === listening)
      .map((columns) => `socket:[${columns[9]}]`);
  } catch {
    return [];
  }
}

function holdsOne(pid: number, sockets: Set<string>): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => {
      try {
        return sockets.has(readlinkSync(`/proc/${pid}/fd/${fd}`));
      } catch {
        return false;
      }
    });
  } catch {
    return false;
  }
}

/** Whether a server that listens at this address is reached from its own machine alone. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIPv4(host) && host.startsWith("127."));
}
