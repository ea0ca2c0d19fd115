// The plant's MCP server: machines whose readings can be read, and work orders that can be opened and found again.
//
//   bin/node examples/maintenance-inspector/server.ts [--port 4077] [--seed 1] [--machines 1000] [--csv ai4i2020.csv]
//     [--orders FILE] with the bearer token in MAINTENANCE_TOKEN
//
// It listens on loopback, speaks both current revisions of MCP, and keeps no state except the file of orders.
import { createServer as createHttpServer, type Server } from "node:http";
import { timingSafeEqual } from "node:crypto";
import { parseArgs } from "node:util";
import { localhostHostValidation, localhostOriginValidation, toNodeHandler } from "@modelcontextprotocol/node";
import { createMcpHandler, McpServer } from "@modelcontextprotocol/server";
import { z } from "zod";
import { WorkOrders } from "./orders.ts";
import { exceededLimits, failureModes, generateMachines, readCsv, type Readings } from "./readings.ts";

const effectKeyMeta = "lineshaft/effect-key";

export interface PlantOptions {
  port: number;
  token: string;
  machines: Readings[];
  ordersPath: string;
  /** Called when a tool has done its work and before it answers: where a crash of the caller hurts most. */
  beforeAnswer?: (tool: string) => Promise<void> | void;
}

export interface Plant {
  url: string;
  orders: WorkOrders;
  close(): Promise<void>;
}

/** The text of the operator's panel: the exceeded limits in words, or with `bare` the numbers alone. */
export function reportOf(readings: Readings, bare: boolean): string {
  if (bare) {
    const { variant, air_temperature_k, process_temperature_k, rotational_speed_rpm, torque_nm, tool_wear_min } =
      readings;
    return (
      `Machine ${readings.machine}. Type ${variant}, air ${air_temperature_k} K, process ${process_temperature_k} K, ` +
      `${rotational_speed_rpm} rpm, torque ${torque_nm} Nm, tool wear ${tool_wear_min} min.`
    );
  }
  const exceeded = exceededLimits(readings).map(({ text }) => text);
  const limits = exceeded.length > 0 ? exceeded.join("; ") : "none, all readings are within their limits";
  return `Machine ${readings.machine}. Limit exceeded: ${limits}.`;
}

/** Serves until closed. Port 0 takes any free one. */
export async function startPlant(options: PlantOptions): Promise<Plant> {
  const machines = new Map(options.machines.map((readings) => [readings.machine, readings]));
  const orders = new WorkOrders(options.ordersPath);
  const handler = toNodeHandler(createMcpHandler(() => plantServer(machines, orders, options.beforeAnswer)));
  const validHost = localhostHostValidation();
  const validOrigin = localhostOriginValidation();
  const server = createHttpServer((request, response) => {
    if (!validHost(request, response) || !validOrigin(request, response)) return;
    if (!sameText(request.headers.authorization ?? "", `Bearer ${options.token}`)) {
      response.writeHead(401, { "www-authenticate": "Bearer" }).end();
      return;
    }
    void handler(request, response);
  });
  const port = await listen(server, options.port);
  let closed: Promise<void> | undefined;
  return {
    url: `http://127.0.0.1:${port}/mcp`,
    orders,
    // Once: the file's number may be another file's after the first time.
    close: () =>
      (closed ??= new Promise((resolve) => {
        server.close(() => {
          orders.close();
          resolve();
        });
        server.closeAllConnections();
      })),
  };
}

function plantServer(
  machines: Map<string, Readings>,
  orders: WorkOrders,
  beforeAnswer: PlantOptions["beforeAnswer"] = () => {},
): McpServer {
  const server = new McpServer({ name: "plant", version: "1.0.0" });
  server.registerTool(
    "read_machine",
    {
      description: "Current readings of a milling machine, with a report of the limits that they exceed.",
      inputSchema: z.object({
        machine: z.string().describe("Id of the machine, such as M-001"),
        bare: z.boolean().default(false).describe("Report the numbers alone, without the exceeded limits"),
      }),
      annotations: { readOnlyHint: true },
    },
    async ({ machine, bare }) => {
      const readings = machines.get(machine);
      if (!readings) return failure(`There is no machine ${machine}.`);
      await beforeAnswer("read_machine");
      return structured({ report: reportOf(readings, bare), readings });
    },
  );
  server.registerTool(
    "open_work_order",
    {
      description: "Opens a work order for a machine. Exactly one per effect key.",
      inputSchema: z.object({
        machine: z.string(),
        failure_mode: z.enum(failureModes as [string, ...string[]]),
        reason: z.string().max(500),
      }),
      annotations: { destructiveHint: false, idempotentHint: true },
    },
    async (request, context) => {
      const key = (context.mcpReq._meta as Record<string, unknown> | undefined)?.[effectKeyMeta];
      if (typeof key !== "string" || key === "") return failure(`_meta["${effectKeyMeta}"] is missing.`);
      if (!machines.has(request.machine)) return failure(`There is no machine ${request.machine}.`);
      const order = orders.open(key, request, new Date());
      await beforeAnswer("open_work_order");
      return structured({ ...order });
    },
  );
  server.registerTool(
    "find_work_order",
    {
      description: "The work order that was opened with an effect key, if any.",
      inputSchema: z.object({ effect_key: z.string() }),
      annotations: { readOnlyHint: true },
    },
    async ({ effect_key }) => {
      const order = orders.find(effect_key);
      await beforeAnswer("find_work_order");
      return structured(order ? { found: true, result: { ...order } } : { found: false });
    },
  );
  return server;
}

function structured(value: Record<string, unknown>) {
  return { structuredContent: value, content: [{ type: "text" as const, text: JSON.stringify(value) }] };
}

function failure(message: string) {
  return { isError: true, content: [{ type: "text" as const, text: message }] };
}

function sameText(given: string, expected: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)];
  return a.length === b.length && timingSafeEqual(a, b);
}

function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => {
      const address = server.address();
      resolve(typeof address === "object" && address ? address.port : port);
    });
  });
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      port: { type: "string", default: "4077" },
      seed: { type: "string", default: "1" },
      machines: { type: "string", default: "1000" },
      csv: { type: "string" },
      orders: { type: "string", default: "work-orders.jsonl" },
    },
  });
  const token = process.env["MAINTENANCE_TOKEN"];
  if (!token) {
    console.error("MAINTENANCE_TOKEN is not set: give the token that callers must bring.");
    process.exit(2);
  }
  const machines = values.csv ? readCsv(values.csv) : generateMachines(Number(values.machines), Number(values.seed));
  const plant = await startPlant({ port: Number(values.port), token, machines, ordersPath: values.orders });
  console.log(plant.url);
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => void plant.close().then(() => process.exit(0)));
}
