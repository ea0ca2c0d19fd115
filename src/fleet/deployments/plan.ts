// Wanted workers against those that there are: which start, which change their role, which leave. Pure, and level-triggered:
// it looks at what is, not at what changed, so it is asked again whenever anything changed, until it answers with nothing.
//
//   (wanted) -> starting -> ready -> leaving -> gone
//
// - A worker is started with its model, slots, context and threads and keeps them: one that was started otherwise than is
//   wanted now is replaced. A role is not such a thing: it is only what others are told, so it changes without a restart.
// - What serves goes on serving until its successor is ready. Only where memory does not hold both does the old one go first.
// - Of workers too many, those that are not ready yet leave first, then the highest numbers.
// - A name is the lowest free number, unique over all deployments; a worker that is leaving still has its name.
// - Threads of running workers stay as they are; a new one gets its share of the cores that are left, at least one.
import { countOf, workerRoles, type Roles, type WorkerRole } from "./types.ts";

/** A deployment as far as its workers are concerned. */
export interface WantedDeployment {
  name: string;
  roles: Roles;
  /** Everything that a running worker cannot change, as one text; workers that have another are replaced. */
  launch: string;
  /** Of one worker; undefined: its share. */
  threads: number | undefined;
  /** Memory of one worker, estimated. */
  bytes: number;
}

export interface FleetWorker {
  /** `worker-0`, unique on this machine. */
  name: string;
  deployment: string;
  role: WorkerRole;
  launch: string;
  threads: number;
  bytes: number;
  phase: "starting" | "ready" | "leaving";
}

export interface Machine {
  /** Memory that may be taken now. What starting workers are still going to take is not yet counted in it. */
  freeBytes: number;
  /** Threads of one of so many workers. */
  threadsOf(workers: number): number;
}

interface WorkerPlan {
  start: FleetWorker[];
  relabel: { name: string; role: WorkerRole }[];
  stop: string[];
  /** Deployments of which not all workers can start, because memory is short and nothing that leaves will free it. */
  short: string[];
}

/** What is to be done now. An empty plan, with no worker starting or leaving, means that the wanted state is reached. */
export function planWorkers(wanted: WantedDeployment[], workers: FleetWorker[], machine: Machine): WorkerPlan {
  const plan: WorkerPlan = { start: [], relabel: [], stop: [], short: [] };
  const names = new Set(wanted.map(({ name }) => name));
  const present = workers.filter(({ phase }) => phase !== "leaving").toSorted(byPlace);
  for (const worker of present) if (!names.has(worker.deployment)) plan.stop.push(worker.name);
  const matches = wanted.map((deployment) =>
    match(
      deployment,
      present.filter((worker) => worker.deployment === deployment.name),
    ),
  );
  for (const { surplus } of matches) plan.stop.push(...surplus);
  const starting = bytesOf(workers.filter(({ phase }) => phase === "starting"));
  let free = machine.freeBytes - starting;
  const takenNames = new Set(workers.map(({ name }) => name));
  const threads = threadsForNew(wanted, matches, present, machine);
  for (const [index, deployment] of wanted.entries()) {
    const { lacking, outdated, relabel, settling } = matches[index]!;
    let waits = settling;
    for (const role of lacking) {
      waits = true;
      if (deployment.bytes > free) {
        const frees = plan.stop.length > 0 || workers.some(({ phase }) => phase === "leaving");
        // Those that are to be replaced make room, the last first; the plan is asked again when they are gone.
        const room = outdated.pop();
        if (room !== undefined) plan.stop.push(room);
        else if (!frees) plan.short.push(deployment.name);
        break;
      }
      free -= deployment.bytes;
      const name = freeName(takenNames);
      takenNames.add(name);
      plan.start.push({
        name,
        deployment: deployment.name,
        role,
        launch: deployment.launch,
        bytes: deployment.bytes,
        threads: deployment.threads ?? threads,
        phase: "starting",
      });
    }
    if (waits) continue;
    plan.relabel.push(...relabel);
    plan.stop.push(...outdated);
  }
  return plan;
}

interface Match {
  /** Roles for which a worker has to be started. */
  lacking: WorkerRole[];
  /** Names of workers that were started otherwise. */
  outdated: string[];
  /** Names of workers that are too many. */
  surplus: string[];
  /** Changes of role, once every other role is taken by a worker that is ready. */
  relabel: { name: string; role: WorkerRole }[];
  /** Whether one that stays is still starting. */
  settling: boolean;
}

function match(deployment: WantedDeployment, mine: FleetWorker[]): Match {
  const left: Roles = { ...deployment.roles };
  const spare: FleetWorker[] = [];
  let settling = false;
  const fitting = mine.filter(({ launch }) => launch === deployment.launch);
  for (const worker of fitting) {
    if (left[worker.role] === 0) {
      spare.push(worker);
      continue;
    }
    left[worker.role]--;
    settling ||= worker.phase === "starting";
  }
  const relabel: Match["relabel"] = [];
  const surplus: string[] = [];
  for (const worker of spare) {
    const role = workerRoles.find((one) => left[one] > 0);
    if (role === undefined) {
      surplus.unshift(worker.name);
      continue;
    }
    left[role]--;
    relabel.push({ name: worker.name, role });
    settling ||= worker.phase === "starting";
  }
  return {
    lacking: workerRoles.flatMap((role) => Array.from({ length: left[role] }, () => role)),
    outdated: mine.filter(({ launch }) => launch !== deployment.launch).map(({ name }) => name),
    surplus,
    relabel,
    settling,
  };
}

/** Threads of each worker that starts now and has no number of its own: its share, of what all others leave over. */
function threadsForNew(wanted: WantedDeployment[], matches: Match[], present: FleetWorker[], machine: Machine): number {
  const leave = new Set(matches.flatMap(({ outdated, surplus }) => [...outdated, ...surplus]));
  const names = new Set(wanted.map(({ name }) => name));
  const stay = present.filter((worker) => names.has(worker.deployment) && !leave.has(worker.name));
  let [sharing, starting, given] = [0, 0, 0];
  for (const [index, { roles, threads }] of wanted.entries()) {
    const lacking = matches[index]!.lacking.length;
    if (threads !== undefined) given += lacking * threads;
    else {
      sharing += countOf(roles);
      starting += lacking;
    }
  }
  const taken = given + stay.reduce((sum, worker) => sum + worker.threads, 0);
  const left = Math.floor((machine.threadsOf(1) - taken) / Math.max(1, starting));
  return Math.max(1, Math.min(machine.threadsOf(Math.max(1, sharing)), left));
}

/** Memory that is missing for all that is wanted, when everything that is not wanted has gone. */
export interface Shortage {
  neededBytes: number;
  availableBytes: number;
  /** Workers of the deployment that would fit. */
  fitting: number;
}

/** Whether all wanted workers together fit; `about` is the deployment whose fitting number is of interest. */
export function shortageOf(
  wanted: WantedDeployment[],
  workers: FleetWorker[],
  freeBytes: number,
  about: string,
): Shortage | undefined {
  const neededBytes = wanted.reduce((sum, { roles, bytes }) => sum + countOf(roles) * bytes, 0);
  // Starting workers take nothing yet, so what they will take is in `freeBytes` already.
  const availableBytes = Math.max(0, freeBytes) + bytesOf(workers.filter(({ phase }) => phase !== "starting"));
  if (neededBytes <= availableBytes) return undefined;
  const mine = wanted.find(({ name }) => name === about);
  const others = neededBytes - (mine ? countOf(mine.roles) * mine.bytes : 0);
  const fitting = mine ? Math.max(0, Math.floor((availableBytes - others) / mine.bytes)) : 0;
  return { neededBytes, availableBytes, fitting };
}

const bytesOf = (workers: FleetWorker[]): number => workers.reduce((sum, { bytes }) => sum + bytes, 0);

/** Ready ones first, then by number; the last of this order leaves first. */
function byPlace(a: FleetWorker, b: FleetWorker): number {
  return Number(a.phase === "starting") - Number(b.phase === "starting") || numberOf(a.name) - numberOf(b.name);
}

const numberOf = (name: string): number => Number(name.slice("worker-".length));

function freeName(taken: ReadonlySet<string>): string {
  for (let number = 0; ; number++) if (!taken.has(`worker-${number}`)) return `worker-${number}`;
}
