// A small real child for the supervisor's tests. Says "ready" over IPC when it listens to signals, then behaves as its argument says.
const behaviour = process.argv[2] ?? "serve";
const say = (message) => process.send?.(message);
if (behaviour === "missing-library") {
  console.error("child: error while loading shared libraries: libnothing.so.7: cannot open shared object file");
  process.exit(127);
}
if (behaviour === "never-ready") setInterval(() => {}, 1000);
// Ends before it is ready, and leaves a helper behind that has its pipes, says something when it is told to, and then stands still.
if (behaviour === "leaves-helper") {
  const { spawn } = await import("node:child_process");
  const stdio = ["ignore", "inherit", "inherit", "ipc"];
  const helper = spawn(process.execPath, [import.meta.filename, "helper"], { stdio });
  helper.once("message", () => process.stdout.write(`helper ${helper.pid}\n`, () => process.exit(3)));
}
if (behaviour === "helper") {
  const { writeSync } = await import("node:fs");
  process.on("SIGUSR2", () => {
    writeSync(2, "last words\n");
    process.kill(process.pid, "SIGSTOP");
  });
  say({ type: "ready", pid: process.pid });
  setInterval(() => {}, 1000);
}
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
