// Ports for servers of tests and benches that listen later than their port is chosen, or that listen again.
import { createServer } from "node:net";

/**
 * A free port below those that systems give to servers and connections that name none. Such a port could be given to another process, also
 * to a child of the caller, before the server listens.
 */
export async function unsharedPort(): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(20_000 * Math.random());
    if (await isFree(port)) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer().once("error", () => resolve(false));
    probe.listen(port, "127.0.0.1", () => void probe.close(() => resolve(true)));
  });
}
