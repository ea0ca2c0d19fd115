// One listening socket for several processes. The parent binds it and never accepts; each child inherits the descriptor and accepts from
// the one queue that the kernel keeps for the socket.
//
// Chosen by what happens when a child is frozen or dies. A frozen child accepts nothing, so new connections go to the others. A dead one
// loses only the connections that it had accepted. While all of them are away, connections wait in the queue, because the parent keeps
// the socket. Rejected: `reusePort`, where the kernel gives each process a queue of its own, so that a frozen process keeps its share of
// all new connections waiting; and round robin by node:cluster, where every connection passes through the parent.
//
// The price is an uneven spread: the process that the kernel wakes first accepts. Of 64 connections to two idle processes, opened one
// after the other, one took 23 and the other 41. A busy process is slower to accept than an idle one, which evens it under load.
//
// Node has no public way to bind without accepting. `net._createServerHandle` is what node:cluster itself uses for this, and the test
// beside this file fails if a later Node drops it.
import { lookup } from "node:dns/promises";
import * as net from "node:net";
import { portError } from "./ports.ts";

interface BoundHandle {
  fd: number;
  getsockname(into: { port?: number }): number;
  close(): void;
}

type CreateServerHandle = (
  address: string,
  port: number,
  family: number,
  fd: undefined,
  flags: number,
) => BoundHandle | number;

/** A bound socket that this process does not accept from. */
export interface SharedListener {
  /** Given to a child as one of its `descriptors`; the child calls `server.listen({ fd })`. */
  fd: number;
  port: number;
  close(): void;
}

/** Binds an address for children to accept from. Throws LineshaftError `port_busy` or `port_forbidden`. */
export async function bindShared(port: number, host: string): Promise<SharedListener> {
  const { address, family } = await lookup(host);
  const { _createServerHandle: create } = net as unknown as { _createServerHandle: CreateServerHandle };
  const handle = create(address, port, family, undefined, 0);
  const bound: { port?: number } = {};
  // A port that is in use is told by the first question after the bind.
  const failure = typeof handle === "number" ? handle : handle.getsockname(bound);
  if (typeof handle === "number" || failure !== 0) {
    if (typeof handle !== "number") handle.close();
    throw portError(Object.assign(new Error(`bind failed with ${failure}`), { code: bindErrors.get(failure) }), port);
  }
  let closed = false;
  return {
    fd: handle.fd,
    port: bound.port ?? port,
    close() {
      if (!closed) handle.close();
      closed = true;
    },
  };
}

/** libuv's numbers on Linux and macOS for what `portError` explains. */
const bindErrors = new Map([
  [-98, "EADDRINUSE"],
  [-48, "EADDRINUSE"],
  [-13, "EACCES"],
]);
