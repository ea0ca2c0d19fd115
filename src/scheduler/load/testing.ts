// The shared behaviour suite of carriers, as data and checks without a test framework: every carrier's own test runs it. And the
// carrier inside one process, on which the suite and the tests of load views stand.
import type { LoadMessage } from "../news.ts";
import type { Carrier } from "./carrier.ts";
import { LoadView } from "./loadView.ts";

/** A carrier inside one process, moved by hand: messages wait until `deliver(now)` finds them older than `delayMs`. */
export class MemoryCarrier implements Carrier {
  private readonly delayMs: number;
  private readonly listeners = new Set<(message: LoadMessage) => void>();
  private waiting: LoadMessage[] = [];

  constructor(delayMs = 0) {
    this.delayMs = delayMs;
  }

  publish(message: LoadMessage): void {
    this.waiting.push(structuredClone(message));
  }

  subscribe(hear: (message: LoadMessage) => void): () => void {
    this.listeners.add(hear);
    return () => this.listeners.delete(hear);
  }

  deliver(now: number): void {
    const due = this.waiting.filter((message) => message.atMs + this.delayMs <= now);
    this.waiting = this.waiting.filter((message) => message.atMs + this.delayMs > now);
    for (const message of due) for (const hear of this.listeners) hear(message);
  }
}

/** Gateways over one carrier each, or over one that they share. */
export interface CarrierScene {
  gateways: { name: string; carrier: Carrier }[];
  /** An endpoint of which all gateways may be told. */
  endpoint: string;
  /** The gateways' clock, ms. */
  now(): number;
  /** Lets what was published arrive, until `holds` or for as long as a message may take; answers whether it held. */
  settle(holds: () => boolean): Promise<boolean>;
  close(): Promise<void>;
}

interface CarrierRequirement {
  name: string;
  /** Answers what is wrong, or undefined. */
  check(scene: CarrierScene): Promise<string | undefined>;
}

/** A gateway's load view over its carrier. */
interface Gateway {
  view: LoadView;
  heard: LoadMessage[];
  stop: () => void;
  tell: () => void;
}

function gatewaysOf({ gateways, now }: CarrierScene): Gateway[] {
  return gateways.map(({ name, carrier }) => {
    const view = new LoadView(name);
    const heard: LoadMessage[] = [];
    const stop = carrier.subscribe((message) => {
      if (message.gateway !== name) heard.push(message);
      view.receive(message, now());
    });
    const tell = (): void => {
      const message = view.message(now(), true);
      if (message !== undefined) carrier.publish(message);
    };
    return { view, heard, stop, tell };
  });
}

/** Messages until a total has certainly been among them (loadView.ts). */
const untilTotal = 20;

/** All say that they are there, so that no carrier keeps anything back because a gateway seems alone. */
async function meet(scene: CarrierScene, gateways: readonly Gateway[]): Promise<boolean> {
  for (const { tell } of gateways) tell();
  return scene.settle(() => gateways.every(({ heard }) => heard.length >= gateways.length - 1));
}

const tellAll = (gateways: readonly Gateway[]): void => {
  for (let told = 0; told < untilTotal; told++) for (const { tell } of gateways) tell();
};

/** What holds for every carrier. A scene has at least two gateways and is used for one requirement. */
export const carrierRequirements: readonly CarrierRequirement[] = [
  {
    name: "brings every gateway the others' messages, with all that they say",
    async check(scene) {
      const gateways = gatewaysOf(scene);
      if (!(await meet(scene, gateways))) return "a gateway has not heard every other";
      const [first] = gateways;
      first!.view.open(scene.endpoint, 0, 90, 100, scene.now());
      const tenants = [{ tenant: "t", served: 70, waits: true }];
      const queues = [{ endpoints: [scene.endpoint], batch: true, calls: 3, tenants }];
      const message: LoadMessage = { ...first!.view.message(scene.now())!, queues };
      const before = JSON.stringify(message);
      scene.gateways[0]!.carrier.publish(message);
      const others = gateways.slice(1);
      const came = (heard: readonly LoadMessage[]) => heard.find(({ sequence }) => sequence === message.sequence);
      if (!(await scene.settle(() => others.every(({ heard }) => came(heard) !== undefined)))) return "it did not come";
      if (JSON.stringify(message) !== before) return "the sender's message was changed";
      const wrong = others.find(({ heard }) => {
        const { gateway, kind, deltas, queues } = came(heard)!;
        return (
          JSON.stringify({ gateway, kind, deltas, queues }) !==
          JSON.stringify({ ...message, sequence: undefined, atMs: undefined })
        );
      });
      return wrong === undefined ? undefined : `came as ${JSON.stringify(came(wrong.heard))}`;
    },
  },
  {
    name: "lets all gateways agree on the sum of their loads, and on nothing when all of it has ended",
    async check(scene) {
      const gateways = gatewaysOf(scene);
      if (!(await meet(scene, gateways))) return "a gateway has not heard every other";
      const handles = gateways.map(({ view }, i) => view.open(scene.endpoint, 0, 10 * (i + 1), 100, scene.now()));
      tellAll(gateways);
      const sum = handles.reduce((total, { prefillTokens }) => total + prefillTokens, 0);
      const seen = () => gateways.map(({ view }) => view.of(scene.endpoint, 0));
      const summed = () => seen().every((load) => load.prefillTokens === sum && load.inFlight === handles.length);
      if (!(await scene.settle(summed))) return `sums are ${JSON.stringify(seen())}, not ${sum}`;
      for (const handle of handles) handle.close();
      tellAll(gateways);
      const empty = () =>
        seen().every((load) => load.prefillTokens === 0 && load.kvTokens === 0 && load.inFlight === 0);
      return (await scene.settle(empty)) ? undefined : `left: ${JSON.stringify(seen())}`;
    },
  },
  {
    name: "brings nothing to a listener that has stopped, and goes on for the others",
    async check(scene) {
      const gateways = gatewaysOf(scene);
      if (!(await meet(scene, gateways))) return "a gateway has not heard every other";
      const [first, second] = gateways;
      const late: LoadMessage[] = [];
      scene.gateways[1]!.carrier.subscribe((message) => void late.push(message));
      second!.stop();
      const heard = second!.heard.length;
      tellAll([first!]);
      if (!(await scene.settle(() => late.length > 0))) return "another listener of the same gateway hears nothing";
      return second!.heard.length === heard ? undefined : "a stopped listener still hears";
    },
  },
];
