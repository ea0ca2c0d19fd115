// A small real child for the supervisor's tests. Says "ready" over IPC when it listens to signals, then behaves as its argument says.
const behaviour = process.argv[2] ?? "serve";
const say = (message) => process.send?.(message);
if (behaviour === "missing-library") {
  console.error("child: error while loading shared libraries: libnothing.so.7: cannot open shared object file");
  process.exit(127);
}
if (behaviour === "never-ready") setInterval(() => {}, 1000);
if (behaviour === "serve" || behaviour === "stubborn") {
  process.on("SIGTERM", () => {
    if (behaviour === "serve") process.exit(0);
  });
  console.log("serving");
  say({ type: "ready", pid: process.pid });
  setInterval(() => {}, 1000);
}
if (behaviour === "die-when-told") {
  process.on("SIGTERM", () => process.exit(0));
  process.on("SIGUSR2", () => {
    console.error("told to die");
    process.exit(3);
  });
  say({ type: "ready", pid: process.pid });
  setInterval(() => {}, 1000);
}
if (behaviour === "alive") {
  process.on("SIGTERM", () => process.exit(0));
  say({ type: "ready", pid: process.pid });
  setInterval(() => say({ type: "alive" }), 20);
}
if (behaviour === "accept") {
  const { createServer } = await import("node:http");
  process.on("SIGTERM", () => process.exit(0));
  // The first descriptor after the IPC channel.
  createServer((_request, response) => response.end(String(process.pid))).listen({ fd: 4 }, () =>
    say({ type: "ready", pid: process.pid }),
  );
}
