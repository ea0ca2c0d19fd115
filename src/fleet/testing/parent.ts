// A process that supervises one child and is then killed by a test: argv is the home and the child's behaviour.
import { Supervisor } from "../supervisor.ts";
import { testChild } from "./spec.ts";

const [home, behaviour] = process.argv.slice(2);
const supervisor = new Supervisor({ recordsPath: `${home}/run/children.json`, mark: home! });
await supervisor.start(testChild("worker", behaviour ?? "serve"));
console.log(supervisor.status()[0]!.pid);
setInterval(() => {}, 1000);
